"""Table of all diagnostics of a sampler on scenes with known truth."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool

from uqrestore.diagnostics.battery import Battery, run_battery
from uqrestore.diagnostics.bootstrap import Estimate
from uqrestore.diagnostics.coverage import LEVELS, measure_coverage
from uqrestore.diagnostics.heldout import residual_test
from uqrestore.diagnostics.scenes import Scenes
from uqrestore.diagnostics.scores import score_table
from uqrestore.diagnostics.spread import error_uncertainty, spread_skill, three_decibels
from uqrestore.metrics.image import image_quality
from uqrestore.posterior.intervals import percent

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Row:
    """One number, beside the value of an ideal sampler.

    Attributes:
        group: What it belongs to: ``coverage``, ``score``, ``spread``, ``image``.
        name: What it is, with its unit where it has one.
        value: From these scenes.
        low: Lower end of its interval over scenes; NaN where there is none.
        high: Upper end.
        perfect: Value of an ideal sampler with as many draws; NaN where it is not known.
    """

    group: str
    name: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    perfect: float = float("nan")

    @classmethod
    def of(cls, group: str, name: str, estimate: Estimate, perfect: float) -> "Row":
        """Take value and interval from an estimate."""
        return cls(group, name, estimate.value, estimate.low, estimate.high, perfect)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All numbers of one sampler.

    Attributes:
        battery: The rank tests and their verdict.
        rows: Everything else.
    """

    battery: Battery
    rows: tuple[Row, ...]

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON; what is not known is None."""
        rows = [
            {key: None if value != value else value for key, value in asdict(row).items()}
            for row in self.rows
        ]
        return {"battery": self.battery.to_data(), "rows": rows}

    def to_xarray(self) -> "xr.Dataset":
        """Return the rows as variables over ``row``, the battery over ``statistic``."""
        import xarray as xr

        findings = self.battery.findings
        table = {
            key: ("row", [getattr(row, key) for row in self.rows])
            for key in ("value", "low", "high", "perfect")
        }
        tests = {
            "p_value": ("statistic", [finding.test.p_value for finding in findings]),
            "p_corrected": ("statistic", [finding.p_corrected for finding in findings]),
            "rank_histogram": (
                ("statistic", "rank"),
                np.stack([finding.test.histogram() for finding in findings]),
            ),
        }
        coordinates = {
            "group": ("row", [row.group for row in self.rows]),
            "name": ("row", [row.name for row in self.rows]),
            "statistic": [finding.statistic for finding in findings],
        }
        attributes = {"verdict": self.battery.verdict, "scenes": self.battery.scenes}
        return xr.Dataset(table | tests, coordinates, attributes)


def evaluate(
    scenes: Scenes,
    *,
    mask: Bool[np.ndarray, " scene row column"] | None = None,
    data_range: float,
    level: float = 0.01,
) -> Evaluation:
    """Run the battery, coverage, scores, spread and image metrics on the same scenes.

    Args:
        scenes: Truths, at least three draws and the measurements; images
            ``(channel, row, column)``.
        mask: Where coverage and image metrics look; everywhere if left out.
        data_range: Of the images, for PSNR and SSIM, in the unit of the draws.
        level: False-alarm rate: probability of rejecting an ideal sampler.

    Raises:
        ValueError: If there are fewer than three draws, or a statistic cannot be computed.
    """
    battery = run_battery(scenes, level=level)
    rows = (
        *_coverage_rows(scenes, mask),
        *_score_rows(scenes),
        *_spread_rows(scenes),
        *_image_rows(scenes, mask, data_range),
    )
    return Evaluation(battery, rows)


def _coverage_rows(
    scenes: Scenes, mask: Bool[np.ndarray, " scene row column"] | None
) -> Iterator[Row]:
    inside = None if mask is None else np.broadcast_to(mask[:, None], scenes.truth.shape)
    for row in measure_coverage(scenes, LEVELS, mask=inside):
        name = f"{percent(row.level)} intervals"
        yield Row.of("coverage", f"coverage of {name}", row.coverage, row.level)
        yield Row("coverage", f"width of {name}", row.width)


def _score_rows(scenes: Scenes) -> Iterator[Row]:
    for row in score_table(scenes):
        yield Row.of("score", row.name, row.value, row.floor)
        yield Row("score", f"{row.name}, skill", row.skill, perfect=1.0)


def _spread_rows(scenes: Scenes) -> Iterator[Row]:
    skill = spread_skill(scenes)
    yield Row.of("spread", "spread over error", skill.ratio, 1.0)
    if skill.perfect is not None:
        perfect = skill.perfect
        yield Row(
            "spread", "slope of error over std", skill.reliability.slope, perfect=perfect.slope
        )
        yield Row("spread", "calibration error", skill.reliability.error, perfect=perfect.error)
    gap = three_decibels(scenes)
    yield Row.of("spread", "mean better than a draw, dB", gap.gap, gap.expected)
    found = error_uncertainty(scenes)
    for name in ("spearman", "ause", "aurg"):
        both = getattr(found, name)
        yield Row("spread", f"error and std, {name}", both.value, perfect=both.ceiling)
    problem = scenes.problem
    if problem is not None and bool((torch.as_tensor(problem.noise_std) > 0).all()):
        residual = residual_test(problem, torch.from_numpy(scenes.draws))
        yield Row("spread", "residual, noise variances", residual.ratio, perfect=1.0)


def _image_rows(
    scenes: Scenes, mask: Bool[np.ndarray, " scene row column"] | None, data_range: float
) -> Iterator[Row]:
    shape = (len(scenes), *scenes.truth.shape[-2:])
    inside = np.ones(shape, bool) if mask is None else mask
    quality = image_quality(scenes.draws, scenes.truth, inside, data_range=data_range)
    for name, both in quality.items():
        yield Row("image", f"{name} of the mean", both.of_mean)
        yield Row("image", f"{name} of a draw", both.of_draws)
