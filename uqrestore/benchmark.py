"""Compare methods on one scan: every method, operator and noise level, in one table."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from uqrestore import __version__
from uqrestore.acquisition import Acquisition, acquire
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.evaluation.counting import Counting, Counts
from uqrestore.evaluation.coverage import expected_coverage, measure_coverage
from uqrestore.evaluation.metrics import NETWORK_RANGE, psnr, ssim
from uqrestore.evaluation.scenes import Scenes
from uqrestore.operators import Inpainting
from uqrestore.pipeline import BenchmarkPipeline, MethodPart
from uqrestore.pipeline.build import build_operator
from uqrestore.sampling import chunks, draw, load_denoiser, pixel_size
from uqrestore.scans import ModelSlices, Scan, ScanError, demo_scan_path, fit_to_model, read_scan

if TYPE_CHECKING:
    from rich.console import Group

LEVEL = 0.9  # of the central intervals whose coverage is counted


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        method: Its label in the pipeline; ``zero-filled`` for the minimum-norm image.
        operator: Its label in the pipeline.
        noise_std: In network intensity.
        psnr: Of the mean of the draws, inside the mask, all slices pooled, in dB.
        ssim: Of the mean of the draws, mean over the mask.
        coverage: Share of the pixels inside the mask, and not measured themselves, whose truth
            lies in the central 90 % interval of the draws, mean over slices; None without draws. A
            right sampler covers less with fewer than 19 draws: see
            ``evaluation.coverage.expected_coverage``.
        nfe: Calls of the denoiser for one sample.
        products: Vector-Jacobian products for one sample, each as costly as two calls.
        seconds: For one slice, all draws.
        failed: Why there are no numbers, where the method refuses the problem.
    """

    method: str
    operator: str
    noise_std: float
    psnr: float | None = None
    ssim: float | None = None
    coverage: float | None = None
    nfe: int = 0
    products: int = 0
    seconds: float = 0.0
    failed: str = ""


@dataclass(frozen=True, eq=False)
class _Bench:
    """What all rows share."""

    pipeline: BenchmarkPipeline
    denoiser: Denoiser
    truth: np.ndarray  # (slice, channel, row, column), network units like all below
    mask: np.ndarray
    scan: int

    def row(self, method: str, operator: str, noise_std: float, mean: np.ndarray) -> Row:
        return Row(
            method,
            operator,
            noise_std,
            psnr(mean, self.truth, self.mask, data_range=NETWORK_RANGE),
            ssim(mean, self.truth, self.mask, data_range=NETWORK_RANGE),
        )


def run_benchmark(
    pipeline: BenchmarkPipeline,
    *,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Run a benchmark pipeline.

    Args:
        pipeline: What to compare.
        device: Where the prior runs.
        progress: Called with rows done and rows in all.

    Raises:
        ScanError: If the scan cannot be read or does not fit the prior.
        ValueError: If the pipeline does not fit the prior.
    """
    denoiser, card = load_denoiser(pipeline.prior, device)
    in_shape = tuple(denoiser.in_shape)
    _, height, width = in_shape
    scan = read_scan(demo_scan_path() if pipeline.scan == "demo" else Path(pipeline.scan))
    if not isinstance(scan, Scan):
        raise ScanError(f"{pipeline.scan}: a benchmark needs images, whose truth is known.")
    model: ModelSlices = fit_to_model(scan, (height, width), voxel_size=pixel_size(card))
    chosen = model.pick(pipeline.slices)
    bench = _Bench(
        pipeline,
        denoiser,
        scan.intensity.to_network(model.images[list(chosen)]),
        model.mask[list(chosen)],
        scan.key,
    )
    rows: list[Row] = []
    total = len(pipeline.operators) * len(pipeline.noise_std) * (1 + len(pipeline.methods))
    for label, part in pipeline.operators.items():
        for noise_std in pipeline.noise_std:
            acquisition = acquire(
                build_operator(part, in_shape, chosen),
                model.images[list(chosen)],
                noise_std=noise_std,
                intensity=scan.intensity,
                slices=chosen,
                seed=pipeline.seed,
                scan=scan.key,
            )
            for row in _rows(bench, label, noise_std, acquisition, device):
                rows.append(row)
                if progress is not None:
                    progress(len(rows), total)
    return rows


def as_table(pipeline: BenchmarkPipeline, rows: list[Row]) -> "Group":
    """Return the table for a terminal, and below it why a method has no numbers."""
    from rich.console import Group
    from rich.table import Table

    table = Table(title=pipeline.title, title_justify="left")
    table.add_column("operator", overflow="fold", min_width=9)
    table.add_column("noise", no_wrap=True, min_width=5)
    table.add_column("method", no_wrap=True)
    for name in (
        "PSNR dB",
        "SSIM",
        f"in {expected_coverage(pipeline.draws, LEVEL):.0%}",
        "calls",
        "s/slice",
    ):
        table.add_column(name, justify="right", no_wrap=True)

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    for row in rows:
        table.add_row(
            row.operator,
            f"{row.noise_std:g}",
            row.method,
            number(row.psnr, ".2f"),
            number(row.ssim, ".3f"),
            number(row.coverage, ".1%"),
            _calls(row),
            number(row.seconds or None, ".2f"),
        )
    notes = [
        f"{row.method}, {row.operator}, noise {row.noise_std:g}: {row.failed}"
        for row in rows
        if row.failed
    ]
    return Group(table, *notes)


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


def write_report(pipeline: BenchmarkPipeline, rows: list[Row], path: Path) -> Path:
    """Write the table as JSON, with what it takes to make it again; whole or not at all."""
    report = {
        "uqrestore": __version__,
        "pipeline": pipeline.model_dump(mode="json"),
        "pipeline_sha256": pipeline.sha256,
        "psnr_data_range": NETWORK_RANGE,
        "coverage_of_a_right_sampler": expected_coverage(pipeline.draws, LEVEL),
        "threads": torch.get_num_threads(),
        "rows": [asdict(row) for row in rows],
    }
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(report, indent=2) + "\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _rows(
    bench: _Bench, operator: str, noise_std: float, acquisition: Acquisition, device: str
) -> Iterator[Row]:
    zero_filled = acquisition.intensity.to_network(acquisition.zero_filled().numpy())
    yield bench.row("zero-filled", operator, noise_std, zero_filled)
    for method, part in bench.pipeline.methods.items():
        start = time.perf_counter()
        try:
            draws, counts = _draw_slices(bench, part, acquisition, device)
        except (ValueError, ArithmeticError) as error:
            # A method that is not for this problem (noise, operator) leaves an empty line.
            yield Row(method, operator, noise_std, failed=str(error))
            continue
        seconds = (time.perf_counter() - start) / len(acquisition.slices)
        row = bench.row(method, operator, noise_std, draws.mean(axis=0))
        inside = bench.mask[:, None] & _not_measured(acquisition, bench.truth.shape)
        scenes = Scenes(bench.truth, draws)
        found = measure_coverage(scenes, [LEVEL], mask=inside, replays=0)[0]
        covered = found.coverage.value
        yield replace(
            row, coverage=covered, nfe=counts.network, products=counts.products, seconds=seconds
        )


def _draw_slices(
    bench: _Bench, part: MethodPart, acquisition: Acquisition, device: str
) -> tuple[np.ndarray, Counts]:
    """Return draws (draw, slice, channel, row, column) and what one sample asks for."""
    pipeline, parts, counts = bench.pipeline, [], Counts()
    for group in chunks(acquisition.slices, max(1, pipeline.batch_size // pipeline.draws)):
        counts = Counts()
        images, _ = draw(
            part,
            acquisition.problem(group).to(device),
            Counting(bench.denoiser, counts),
            seed=pipeline.seed,
            scan=bench.scan,
            slices=group,
            draws=range(pipeline.draws),
        )
        parts.append(images.cpu().numpy())
    return np.concatenate(parts, axis=1), counts


def _not_measured(acquisition: Acquisition, shape: tuple[int, ...]) -> np.ndarray:
    """Return which pixels are no measurement of their own, as those that in-painting keeps are."""
    operator = acquisition.operator
    if not isinstance(operator, Inpainting):
        return np.ones(shape, bool)
    return np.broadcast_to(operator.mask.cpu().numpy() == 0, shape)


def _calls(row: Row) -> str:
    return f"{row.nfe} + {row.products}" if row.products else str(row.nfe or "-")
