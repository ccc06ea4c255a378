"""All that a report states, worked out once: for the page, for machines, for the group page."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uqrestore.conformal.guarantee import Guarantee
from uqrestore.conformal.scope import setting_of
from uqrestore.intervals import central_interval
from uqrestore.posterior._hdf5 import short
from uqrestore.reports.contents import Contents
from uqrestore.reports.data_fit import DataFit, measure_data_fit
from uqrestore.reports.method_card import Calibration, SelfCheck, check_itself, find_calibration
from uqrestore.reports.read import read_contents
from uqrestore.reports.regions import (
    Region,
    default_regions,
    find_spots,
    labelled_regions,
    measure_regions,
)

WINDOW_PERCENTILE = 99.5


@dataclass(frozen=True, eq=False)
class Findings:
    """What a report says of one posterior file.

    Attributes:
        contents: The file.
        window: Values shown as black and as white.
        fit: Of the data, or why it is unknown.
        calibration: Of the method.
        check: Of the intervals, against the file's own reference.
        regions: Posterior of the mean of each.
        half_width: Mean half-width of the intervals of the pixels of the mask; None without draws.
        guarantee: The sentence of a calibrated promise that this file holds.
        warnings: What is wrong, for people.
        threshold: That the regions were compared with.
    """

    contents: Contents
    window: tuple[float, float]
    fit: DataFit | str
    calibration: Calibration
    check: SelfCheck | None
    regions: tuple[Region, ...]
    half_width: float | None
    guarantee: str | None
    warnings: tuple[str, ...]
    threshold: float | None

    @property
    def has_images(self) -> bool:
        """Whether there is any slice to show."""
        return self.contents.maps["mean"].size > 0


@dataclass(frozen=True)
class Light:
    """One judgement of the verdict: a grade, a word, and why."""

    name: str
    grade: str
    word: str
    text: str

    @property
    def sign(self) -> str:
        """A shape beside the word, so that nothing hangs on colour."""
        return {"good": "✓", "fair": "△", "poor": "✗"}.get(self.grade, "?")


def find(path: Path, *, labels: Path | None = None, threshold: float | None = None) -> Findings:
    """Read a posterior file and work out what a report says of it.

    Args:
        path: The file, finished or not.
        labels: Label volume on the scan's own grid; None takes regions of the report's own.
        threshold: Of the mean of a region, in the units of the file.

    Raises:
        PosteriorError: If the file is no sound posterior file, or the labels do not fit it.
    """
    contents = read_contents(path)
    has_images = contents.maps["mean"].size > 0
    regions: tuple[Region, ...] = ()
    draws = contents.draws
    warnings = []
    if not draws and has_images:
        warnings.append("No draw is written for every slice, so draws and regions are left out.")
    if has_images and draws:
        found = default_regions(contents)
        if labels is not None:
            found = labelled_regions(contents, labels) | find_spots(contents)
        regions = tuple(measure_regions(contents, found, draws, threshold=threshold))
    guarantee, warning = _guarantee(contents)
    if guarantee and contents.promised is not None:
        low, high = contents.promised
        maps = {**contents.maps, "low": low, "high": high}
        contents = dataclasses.replace(
            contents, maps=maps, interval="guaranteed", interval_level=None
        )
    if warning:
        warnings.append(warning)
    mask, maps = contents.mask, contents.maps
    measured = has_images and bool(mask.any())
    return Findings(
        contents=contents,
        window=_window(contents) if has_images else (0.0, 1.0),
        fit=measure_data_fit(contents, draws) if has_images else "There is no draw.",
        calibration=find_calibration(contents),
        check=check_itself(contents) if has_images else None,
        regions=regions,
        half_width=float((maps["high"] - maps["low"])[mask].mean() / 2) if measured else None,
        guarantee=guarantee,
        warnings=tuple(warnings),
        threshold=threshold,
    )


def lights(findings: Findings) -> list[Light]:
    """Judge scope, data fit, calibration and completeness, each in a word."""
    contents, calibration = findings.contents, findings.calibration
    return [
        _scope_light(contents.scope),
        _fit_light(findings.fit),
        _calibration_light(calibration),
        Light(
            "Draws",
            "good" if contents.complete else "fair",
            "complete" if contents.complete else "partial",
            f"{len(contents.draws)} of {contents.planned} draws of {len(contents.z)} slices. "
            + ("The file is byte for byte as written." if contents.complete else ""),
        ),
    ]


def statement(findings: Findings) -> str:
    """Say what the intervals promise."""
    if findings.guarantee:
        return findings.guarantee
    return (
        "No guarantee is stored in this file. The intervals below are those of the draws, and are "
        "as right as the method, the prior and the forward model are."
    )


def to_data(findings: Findings) -> dict[str, Any]:
    """Return the findings as plain values for JSON."""
    c, fit = findings.contents, findings.fit
    numbers: dict[str, Any] = {
        "slices": len(c.z),
        "draws": len(c.draws),
        "draws_planned": c.planned,
        "interval": c.interval,
        "interval_level": c.interval_level,
        "half_width": findings.half_width,
        "half_width_share": _share(findings),
        "data_fit": None if isinstance(fit, str) else fit.typical,
        "data_fit_kind": None if isinstance(fit, str) else "chi2" if fit.noisy else "relative",
        "component_share": [float(v) for v in c.explained if np.isfinite(v)],
        "coverage": None if findings.check is None else findings.check.coverage,
        "coverage_gap": _coverage_gap(findings.check),
        "error_over_std": None if findings.check is None else findings.check.error_over_std,
        "seconds": _total(c.timing, "wall_s"),
        **{name: value for name, value in c.figures.items() if isinstance(value, int | float)},
    }
    return {
        "format": "uqrestore-report-1",
        "file": c.path.name,
        "title": c.root.get("title", ""),
        "status": c.root.get("status", "unknown"),
        "fingerprint": c.root.get("fingerprint", ""),
        "unit": c.unit,
        "verdict": {
            light.name: {"grade": light.grade, "word": light.word, "text": light.text}
            for light in lights(findings)
        },
        "statement": statement(findings),
        "numbers": numbers,
        "regions": [
            {
                "name": r.name,
                "voxels": r.voxels,
                "millilitres": r.millilitres,
                "position_mm": list(r.position),
                "mean": r.estimate,
                "interval": list(r.interval),
                "interval_level": central_interval(len(r.values)).level,
                "truth": r.truth,
                "above_threshold": r.above,
            }
            for r in findings.regions
        ],
        "threshold": findings.threshold,
        "missing": [*findings.warnings, *c.missing],
    }


def _share(findings: Findings) -> float | None:
    low, high = findings.window
    return None if findings.half_width is None else findings.half_width / max(high - low, 1e-30)


def _coverage_gap(check: SelfCheck | None) -> float | None:
    """Return the coverage minus that of an ideal sampler of as many draws, in percentage points."""
    if check is None or check.expected is None:
        return None
    return 100 * (check.coverage - check.expected)


def _total(timing: Mapping[str, np.ndarray], name: str) -> float | None:
    return float(timing[name].sum()) if name in timing else None


def _window(contents: Contents) -> tuple[float, float]:
    mean = contents.maps["mean"]
    low = float(np.percentile(mean, 1))
    seen = mean[contents.mask] if contents.mask.any() else mean
    high = float(np.percentile(seen, WINDOW_PERCENTILE))
    return low, high if high > low else low + 1


def _guarantee(contents: Contents) -> tuple[str | None, str]:
    """Return the promise of the file's intervals, or why it is not printed."""
    if contents.guarantee is None:
        return None, ""
    try:
        found = Guarantee.from_json(json.dumps(contents.guarantee))
        rows, columns = (abs(float(axis[1] - axis[0])) for axis in (contents.y, contents.x))
        setting = setting_of(
            contents.provenance, contents.operator, contents.planned, (rows, columns)
        )
        found.check(setting)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return None, f"The file's guarantee is not printed: {short(error)}"
    if found.method == "component_box":
        return f"{found.statement} The {found.size}.", ""
    return found.statement, ""


def _scope_light(scope: Mapping[str, Any] | None) -> Light:
    if scope is None or "in_scope" not in scope:
        return Light("Scope of the prior", "unknown", "unknown", "The file does not say.")
    findings = scope.get("findings") or ()
    words = "; ".join(str(item) for item in findings) if isinstance(findings, list | tuple) else ""
    if scope["in_scope"] is None:
        return Light("Scope of the prior", "unknown", "unknown", words or "Its card does not say.")
    if scope["in_scope"]:
        return Light(
            "Scope of the prior", "good", "in scope", words or "A scan as the prior has seen."
        )
    return Light(
        "Scope of the prior", "poor", "out of scope", words or "Unlike what the prior has seen."
    )


def _fit_light(fit: DataFit | str) -> Light:
    if isinstance(fit, str):
        return Light("Data fit", "unknown", "unknown", fit)
    word = {"good": "explains the data", "fair": "nearly", "poor": "does not explain the data"}
    return Light("Data fit", fit.grade, word[fit.grade], fit.words + ".")


def _calibration_light(calibration: Calibration) -> Light:
    word = {"good": "close to exact", "fair": "biased", "poor": "far off", "unknown": "unknown"}
    grade = calibration.grade
    if grade != "unknown" and calibration.note:
        # Settings or operator were not measured: the card is a hint, never a clean bill.
        return Light("Calibration of the method", "fair", "not these settings", calibration.words)
    return Light("Calibration of the method", grade, word[grade], calibration.words)
