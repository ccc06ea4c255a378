"""Run the cells of a benchmark: one method, operator and noise level each, slice by slice."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uqrestore.benchmarks.results import LEVEL, ZERO_FILLED, BenchmarkRecord, Results
from uqrestore.diagnostics.coverage import hits
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.wrapped import Counting, Counts, WrappedDenoiser
from uqrestore.metrics.image import NETWORK_RANGE, ssim
from uqrestore.operators import Inpainting
from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.pipeline import BenchmarkPipeline
from uqrestore.pipeline.build import build_operator
from uqrestore.posterior.acquisition import Acquisition, acquire
from uqrestore.posterior.intervals import central_interval
from uqrestore.problem import Problem
from uqrestore.restoration.draw import draw
from uqrestore.restoration.prior_cache import load_denoiser
from uqrestore.scans import ModelSlices, Scan, ScanError, demo_scan_path, fit_to_model, read_scan


@dataclass(frozen=True)
class _Cell:
    """One method, operator and noise level.

    Attributes:
        slices: How many it is run on, from the first.
        order: Among the cells.
    """

    method: str
    operator: str
    noise_std: float
    slices: int
    order: int


@dataclass
class _Bench:
    """What all cells share."""

    pipeline: BenchmarkPipeline
    denoiser: Denoiser
    scan: Scan
    slices: tuple[int, ...]
    images: np.ndarray  # (slice, channel, row, column), file units
    truth: np.ndarray  # the same in network units
    mask: np.ndarray
    device: str
    _operators: dict[str, LinearOperator] = field(default_factory=dict)
    _acquisitions: dict[tuple[str, float], Acquisition] = field(default_factory=dict)

    def acquisition(self, operator: str, noise_std: float) -> Acquisition:
        """Return the measurements of all slices."""
        if (operator, noise_std) not in self._acquisitions:
            part = self.pipeline.operators[operator]
            if operator not in self._operators:
                made = build_operator(part, tuple(self.denoiser.in_shape), self.slices)
                if not isinstance(made, LinearOperator):
                    raise ValueError(
                        f"operators: {part.name} is not linear, and benchmarks compare methods for "
                        "linear operators; remove it."
                    )
                self._operators[operator] = made
            self._acquisitions[operator, noise_std] = acquire(
                self._operators[operator],
                self.images,
                noise_std=noise_std,
                intensity=self.scan.intensity,
                slices=self.slices,
                seed=self.pipeline.seed,
                scan=self.scan.key,
            )
        return self._acquisitions[operator, noise_std]


def run_benchmark(
    pipeline: BenchmarkPipeline,
    *,
    results: Results | None = None,
    only: Collection[str] = (),
    device: str = "cpu",
    keep: Callable[[Results], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Run a benchmark pipeline, or what is left of it.

    The cell that has had the least time comes next, the first in the pipeline among equals: every
    method gets its first slices early, and the cheap ones are not held up by the dear ones. Cells
    that ask for fewer slices than the pipeline come last.

    Args:
        pipeline: What to compare.
        results: What is done already; none of it is done again.
        only: Labels of operators or of methods to run now; all where there is none of a kind.
        device: Where the prior runs.
        keep: Called with the results after every piece of work, to write them.
        progress: Called with slices done and slices in all.

    Raises:
        ScanError: If the scan cannot be read or does not fit the prior.
        ValueError: If the pipeline does not fit the prior, or ``only`` is in it.
    """
    results = results or Results(pipeline)
    cells = _cells(pipeline, only)
    bench = _open(pipeline, device)
    done = {(p.method, p.operator, p.noise_std, p.slice) for p in results.pieces}
    left: dict[_Cell, list[int]] = {}
    for cell in cells:
        key = cell.method, cell.operator, cell.noise_std
        wanted = [i for i in bench.slices[: cell.slices] if (*key, i) not in done]
        if wanted:
            left[cell] = wanted
    spent = dict.fromkeys(left, 0.0)
    for piece in results.pieces:
        for cell in left:
            if (cell.method, cell.operator, cell.noise_std) == _key(piece):
                spent[cell] += piece.seconds
    total = sum(cell.slices for cell in cells)

    def when(cell: _Cell) -> tuple[bool, float, int]:
        return cell.slices < pipeline.slices, spent[cell], cell.order

    while left:
        cell = min(left, key=when)
        group = left[cell][: max(1, pipeline.batch_size // pipeline.draws)]
        pieces = _run(bench, cell, group)
        if pieces[0].failed:
            pieces = [
                BenchmarkRecord(*_key(pieces[0]), i, failed=pieces[0].failed) for i in left[cell]
            ]
        results.pieces += pieces
        spent[cell] += sum(piece.seconds for piece in pieces)
        left[cell] = left[cell][len(pieces) :]
        if not left[cell]:
            del left[cell]
        if keep is not None:
            keep(results)
        if progress is not None:
            progress(total - sum(map(len, left.values())), total)
    return results


def _key(piece: BenchmarkRecord) -> tuple[str, str, float]:
    return piece.method, piece.operator, piece.noise_std


def _cells(pipeline: BenchmarkPipeline, only: Collection[str]) -> list[_Cell]:
    """Return the cells to run, all operators and noise levels of one method after the other."""
    unknown = set(only) - set(pipeline.operators) - set(pipeline.methods)
    if unknown:
        raise ValueError(
            f"there is no operator or method {', '.join(sorted(unknown))} in this pipeline; it has "
            f"the operators {', '.join(pipeline.operators)} and the methods "
            f"{', '.join(pipeline.methods)}."
        )
    operators = [name for name in pipeline.operators if name in only] or [*pipeline.operators]
    methods = [name for name in pipeline.methods if name in only] or [*pipeline.methods]
    asked = {name: part.slices or pipeline.slices for name, part in pipeline.methods.items()}
    asked[ZERO_FILLED] = pipeline.slices
    keys = [
        (method, operator, noise_std, min(asked[method], pipeline.slices))
        for method in (ZERO_FILLED, *methods)
        for operator in operators
        for noise_std in pipeline.noise_std
    ]
    return [_Cell(*key, order) for order, key in enumerate(keys)]


def _open(pipeline: BenchmarkPipeline, device: str) -> _Bench:
    denoiser, card = load_denoiser(pipeline.prior, device)
    if pipeline.precision == "bf16":
        denoiser = _Half(denoiser, torch.device(device).type)
    scan = read_scan(demo_scan_path() if pipeline.scan == "demo" else Path(pipeline.scan))
    if not isinstance(scan, Scan):
        raise ScanError(f"{pipeline.scan}: a benchmark needs images, whose truth is known.")
    _, height, width = denoiser.in_shape
    model: ModelSlices = fit_to_model(scan, (height, width), voxel_size=card.pixel_mm)
    chosen = _halving(model.pick(pipeline.slices))
    images = model.images[list(chosen)]
    truth = scan.intensity.to_network(images)
    mask = model.mask[list(chosen)]
    return _Bench(pipeline, denoiser, scan, tuple(chosen), images, truth, mask, device)


def _halving(slices: Sequence[int]) -> list[int]:
    """Order slices so that the first few are spread over the scan: 4, 2, 6, 1, 3, 5, 7, 0 of 8."""
    return [slices[i] for i in sorted(range(len(slices)), key=lambda i: -(i & -i))]


def _run(bench: _Bench, cell: _Cell, group: Sequence[int]) -> list[BenchmarkRecord]:
    """Run a cell on some slices."""
    acquisition = bench.acquisition(cell.operator, cell.noise_std)
    rows = [bench.slices.index(i) for i in group]
    key = cell.method, cell.operator, cell.noise_std
    if cell.method == ZERO_FILLED:
        images = acquisition.intensity.to_network(acquisition.zero_filled().numpy())
        return [
            BenchmarkRecord(*key, bench.slices[i], *_quality(bench, i, images[i])) for i in rows
        ]
    pipeline, counts = bench.pipeline, Counts()
    # On a machine that does other work too, the time of this process is what the run costs.
    clock = time.process_time if bench.device == "cpu" else time.perf_counter
    start = clock()
    try:
        drawn, _ = draw(
            pipeline.methods[cell.method],
            acquisition.problem(group).to(bench.device),
            Counting(bench.denoiser, counts),
            seed=pipeline.seed,
            scan=bench.scan.key,
            slices=group,
            draws=range(pipeline.draws),
        )
    except (ValueError, ArithmeticError) as error:
        # A method that is not for this problem (noise, operator) leaves an empty line.
        return [BenchmarkRecord(*key, i, failed=str(error)) for i in group]
    draws = drawn.cpu().numpy()
    seconds = (clock() - start) / len(group)
    unmeasured = _not_measured(acquisition.operator, bench.truth.shape)
    pieces = []
    for at, i in enumerate(rows):
        inside = bench.mask[i] & unmeasured[i]
        rank = central_interval(len(draws), LEVEL).rank
        hit = hits(bench.truth[i], draws[:, at], rank)[inside]
        pieces.append(
            BenchmarkRecord(
                *key,
                bench.slices[i],
                *_quality(bench, i, draws[:, at].mean(axis=0)),
                coverage=float(hit.mean()) if hit.size else None,
                nfe=counts.network,
                products=counts.products,
                seconds=seconds,
            )
        )
    return pieces


def _quality(bench: _Bench, row: int, mean: np.ndarray) -> tuple[float, int, float]:
    """Return mean square error, pixels and SSIM inside the mask of one slice."""
    truth, mask = bench.truth[row], bench.mask[row]
    inside = np.broadcast_to(mask, truth.shape)
    error = np.mean((mean - truth)[inside].astype(np.float64) ** 2)
    similarity = ssim(mean[None], truth[None], mask[None], data_range=NETWORK_RANGE)
    return float(error), int(inside.sum()), similarity


def _not_measured(operator: LinearOperator, shape: tuple[int, ...]) -> np.ndarray:
    """Return which pixels are no measurement of their own, as those that in-painting keeps are."""
    if not isinstance(operator, Inpainting):
        return np.ones(shape, bool)
    return np.broadcast_to(operator.mask.cpu().numpy() == 0, shape)


class _Half(WrappedDenoiser):
    """A denoiser whose network runs in half precision, its scalings aside."""

    def __init__(self, inner: Denoiser, kind: str) -> None:
        super().__init__(inner)
        self._kind = kind

    def prepare(self, problem: Problem, batch: Shape) -> Problem:
        with torch.autocast(self._kind, torch.bfloat16):
            return super().prepare(problem, batch)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - passed through
        with torch.autocast(self._kind, torch.bfloat16):
            return self.inner(*args, **kwargs)
