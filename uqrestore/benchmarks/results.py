"""What a benchmark measured: pieces, kept in a file while the work goes on, and the rows they make.

A piece is one method, operator, noise level and slice. A run that is stopped loses the pieces that
were under way; the next run reads the file and goes on.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import log10
from pathlib import Path
from typing import Any

import torch

from uqrestore._shared.files import write_text
from uqrestore._shared.version import __version__
from uqrestore.metrics.image import NETWORK_RANGE
from uqrestore.networks.weights import load_json
from uqrestore.pipeline import BenchmarkPipeline
from uqrestore.posterior.intervals import central_interval

LEVEL = 0.9  # of the central intervals whose coverage is counted
ZERO_FILLED = "zero-filled"


@dataclass(frozen=True)
class BenchmarkRecord:
    """What one method made of one slice.

    Attributes:
        method: Its label in the pipeline; ``zero-filled`` for the minimum-norm image.
        operator: Its label in the pipeline.
        noise_std: In network intensity.
        slice: Index on the model grid.
        square_error: Mean square error of the mean of the draws, inside the mask.
        pixels: Inside the mask.
        ssim: Of the mean of the draws, mean over the mask.
        coverage: Share of the pixels inside the mask, and not measured themselves, whose truth
            lies in the central 90 % interval of the draws; None without draws.
        nfe: Calls of the denoiser for one sample.
        products: Vector-Jacobian products for one sample, each as costly as two calls.
        seconds: For all draws; on the CPU those that the process worked.
        failed: Why there are no numbers, where the method refuses the problem.
    """

    method: str
    operator: str
    noise_std: float
    slice: int
    square_error: float = 0.0
    pixels: int = 0
    ssim: float = 0.0
    coverage: float | None = None
    nfe: int = 0
    products: int = 0
    seconds: float = 0.0
    failed: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table: one method, operator and noise level, over its slices.

    Attributes:
        method: Its label in the pipeline; ``zero-filled`` for the minimum-norm image.
        operator: Its label in the pipeline.
        noise_std: In network intensity.
        slices: How many are done.
        psnr: Of the mean of the draws, inside the mask, all slices pooled, in dB; None where
            nothing is wrong.
        gain: Of that over the minimum-norm images of the same slices, in dB. Rows of different
            slices still differ by what is easy in those.
        ssim: Mean over the mask.
        coverage: Share of pixels inside the central interval next to 90 %, mean over slices. An
            ideal sampler has the interval's level: see :mod:`uqrestore.posterior.intervals`.
        nfe: Calls of the denoiser for one sample.
        products: Vector-Jacobian products for one sample.
        seconds: For one slice, all draws.
        failed: Why there are no numbers, where the method refuses the problem.
    """

    method: str
    operator: str
    noise_std: float
    slices: int = 0
    psnr: float | None = None
    gain: float | None = None
    ssim: float | None = None
    coverage: float | None = None
    nfe: int = 0
    products: int = 0
    seconds: float = 0.0
    failed: str = ""


@dataclass
class Results:
    """The pieces of one pipeline that are done.

    Attributes:
        pipeline: What is compared.
        pieces: In the order in which they were made.
        threads: Of torch, where the seconds were counted.
    """

    pipeline: BenchmarkPipeline
    pieces: list[BenchmarkRecord] = field(default_factory=list)
    threads: int = field(default_factory=torch.get_num_threads)

    def rows(self) -> list[Row]:
        """Return a row for every method, operator and noise level that has a piece."""
        cells: dict[tuple[str, float, str], list[BenchmarkRecord]] = {}
        for piece in self.pieces:
            cells.setdefault((piece.operator, piece.noise_std, piece.method), []).append(piece)
        return [
            _row(cells[operator, noise_std, method], cells.get((operator, noise_std, ZERO_FILLED)))
            for operator in self.pipeline.operators
            for noise_std in self.pipeline.noise_std
            for method in (ZERO_FILLED, *self.pipeline.methods)
            if (operator, noise_std, method) in cells
        ]

    def write(self, path: Path) -> Path:
        """Write rows and pieces as JSON, with what it takes to go on; whole or not at all."""
        fields: dict[str, Any] = {
            "uqrestore": __version__,
            "pipeline": self.pipeline.model_dump(mode="json"),
            "pipeline_sha256": self.pipeline.sha256,
            "psnr_data_range": NETWORK_RANGE,
            "coverage_of_a_right_sampler": central_interval(self.pipeline.draws, LEVEL).level,
            "threads": self.threads,
        }
        head = json.dumps(fields, indent=1).removesuffix("\n}")
        rows = _lines([asdict(row) for row in self.rows()])
        pieces = _lines([_short(piece) for piece in self.pieces])
        write_text(path, f'{head},\n "rows": {rows},\n "pieces": {pieces}\n}}\n')
        return path

    @classmethod
    def read(cls, path: Path, pipeline: BenchmarkPipeline) -> "Results":
        """Read the file of a run that was stopped.

        Raises:
            FileExistsError: If the file is of another pipeline, or no file of a benchmark.
        """
        try:
            fields = json.loads(path.read_text())
            same = fields["pipeline_sha256"] == pipeline.sha256
            pieces = [BenchmarkRecord(**piece) for piece in fields["pieces"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            same, pieces, fields = False, [], {}
        if not same:
            raise FileExistsError(
                f"{path}: exists already and is not of this pipeline at this size; pass "
                "--overwrite or another name."
            )
        return cls(pipeline, pieces, fields["threads"])


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise before the work starts if a report could not be written.

    Raises:
        FileExistsError: If it exists and is not to be replaced.
        FileNotFoundError: If its folder does not exist.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; pass --overwrite or another name.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder for {path.name}; make it first.")


def load_report(path: Path) -> dict[str, Any]:
    """Read what :meth:`Results.write` wrote.

    Raises:
        WeightsError: If the file is missing or not JSON.
        ValueError: If it is no file of a benchmark.
    """
    fields = load_json(path)
    if not {"pipeline", "rows", "pieces"} <= fields.keys():
        raise ValueError(
            f"{path}: is no table of a benchmark; name a file that 'uqrestore benchmark "
            "--out' wrote."
        )
    return fields


def _row(pieces: Sequence[BenchmarkRecord], beside: Sequence[BenchmarkRecord] | None) -> Row:
    first = pieces[0]
    row = Row(first.method, first.operator, first.noise_std, len(pieces), failed=first.failed)
    if first.failed:
        return row
    pixels = sum(piece.pixels for piece in pieces)
    covered = [piece.coverage for piece in pieces if piece.coverage is not None]
    found = _psnr(pieces)
    done = {piece.slice for piece in pieces}
    known = [piece for piece in beside or () if piece.slice in done]
    plain = _psnr(known) if len(known) == len(pieces) else None
    gain = None if found is None or plain is None or beside is pieces else found - plain
    return Row(
        first.method,
        first.operator,
        first.noise_std,
        len(pieces),
        psnr=found,
        gain=gain,
        ssim=sum(piece.ssim * piece.pixels for piece in pieces) / pixels,
        coverage=sum(covered) / len(covered) if covered else None,
        nfe=first.nfe,
        products=first.products,
        seconds=sum(piece.seconds for piece in pieces) / len(pieces),
    )


def _psnr(pieces: Sequence[BenchmarkRecord]) -> float | None:
    error = sum(piece.square_error * piece.pixels for piece in pieces)
    if error == 0:
        return None
    return 10 * log10(NETWORK_RANGE**2 * sum(piece.pixels for piece in pieces) / error)


def _short(piece: BenchmarkRecord) -> dict[str, Any]:
    """Drop default values and insignificant digits."""
    fields = {key: value for key, value in asdict(piece).items() if value not in (0, "", None)}
    fields |= {"noise_std": piece.noise_std, "slice": piece.slice}
    rounded = ("square_error", "ssim", "coverage", "seconds")
    return {k: float(f"{v:.6g}") if k in rounded else v for k, v in fields.items()}


def _lines(items: Sequence[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(f"  {json.dumps(item)}" for item in items) + "\n ]"
