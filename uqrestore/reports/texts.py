"""What the page of a posterior says: text, tables and charts."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from uqrestore._version import __version__
from uqrestore.intervals import central_interval
from uqrestore.reports import svg as charts
from uqrestore.reports.contents import Contents
from uqrestore.reports.data_fit import DataFit
from uqrestore.reports.findings import Findings, lights, statement
from uqrestore.reports.method_card import prior_card
from uqrestore.reports.regions import Region
from uqrestore.reports.wording import again, bibtex, facts, fit_words, methods_text

SECTIONS = (
    ("verdict", "Verdict"),
    ("images", "Images"),
    ("where", "Where"),
    ("how", "How"),
    ("numbers", "Numbers"),
    ("fit", "Data fit"),
    ("calibration", "Calibration"),
    ("limits", "Limits"),
    ("methods", "Methods"),
    ("provenance", "Provenance"),
)


def texts(findings: Findings) -> dict[str, Any]:
    """Return all that is text, tables and charts."""
    c, fit, calibration = findings.contents, findings.fit, findings.calibration
    card, note = prior_card(c)
    low, high = findings.window
    measured = None if isinstance(fit, str) else fit
    return {
        "version": __version__,
        "c": c,
        "sections": SECTIONS,
        "lights": lights(findings),
        "statement": statement(findings),
        "warnings": findings.warnings,
        "has_images": findings.has_images,
        "where_mask": "inside the mask" if c.has_mask else "of the image",
        "half_width": f"{findings.half_width or 0:.3g} {c.unit}",
        "half_width_share": f"{100 * (findings.half_width or 0) / (high - low):.1f} %",
        "spots": [_spot(c, r, high - low) for r in findings.regions if "spot" in r.name],
        "regions": [_region(r) for r in findings.regions],
        "has_truth": "truth" in c.maps,
        "threshold": findings.threshold,
        "draws_done": len(c.draws),
        "region_interval": central_interval(len(c.draws)) if c.draws else None,
        "absent": f"{min(1.0, 3 / max(len(c.draws), 1)):.0%}",
        "fit": measured,
        "fit_missing": fit if isinstance(fit, str) else "",
        "fit_words": "" if measured is None else fit_words(measured),
        "fit_better": _fit_better(measured),
        "fit_chart": "" if measured is None else _fit_chart(measured, c.draws),
        "calibration": calibration,
        "guarantee": findings.guarantee,
        "check": findings.check,
        "variance_chart": charts.forest(
            [
                (_row_name(r.operator, r.noise_std), r.variance_ratio, r.same_operator)
                for r in calibration.rows
            ],
            1.0,
            "variance of the draws / exact posterior variance",
            f"Variance ratios of {calibration.method} by operator; 1 is right.",
        )
        if calibration.rows
        else "",
        "coverage_chart": charts.forest(
            [
                (_row_name(r.operator, r.noise_std), 100 * r.coverage, r.same_operator)
                for r in calibration.rows
            ],
            90.0,
            "pixels inside their 90 % interval, %",
            f"Coverage of {calibration.method} by operator; 90 is right.",
        )
        if calibration.rows
        else "",
        "prior": card,
        "prior_note": note,
        "methods_text": methods_text(findings),
        "bibtex": bibtex(calibration.method),
        "facts": facts(c),
        "again": again(c),
    }


def _spot(c: Contents, region: Region, span: float) -> dict[str, str]:
    x, y, z = region.position
    row, column = int(np.abs(c.y - y).argmin()), int(np.abs(c.x - x).argmin())
    letter = region.name.rsplit(" ", 1)[-1]
    return {
        "jump": json.dumps([region.slice, row, column]),
        "words": (
            f"({letter}) at x {x:.0f}, y {y:.0f}, z {z:.0f} mm, {region.millilitres:.1f} mL, "
            f"±{100 * region.half_width / span:.0f} % of the range"
        ),
    }


def _region(region: Region) -> dict[str, Any]:
    low, high = region.interval
    label = f"Posterior of {region.name}: {low:.4g} to {high:.4g}"
    return {
        "name": region.name,
        "voxels": region.voxels,
        "millilitres": region.millilitres,
        "estimate": region.estimate,
        "interval": region.interval,
        "truth": region.truth,
        "chance": "" if region.above is None else _chance(region.above, len(region.values)),
        "chart": charts.histogram(region.values.tolist(), region.interval, region.truth, label),
    }


def _chance(share: float, draws: int) -> str:
    """Write a share of draws; none or all of them only bound a probability."""
    if share in (0.0, 1.0):
        bound = min(1.0, 3 / draws)
        return f"< {bound:.2g}" if share == 0 else f"> {1 - bound:.2g}"
    return f"{share:.2f}"


def _row_name(operator: str, noise_std: float) -> str:
    return f"{operator}, noise {noise_std:g}" if noise_std else f"{operator}, no noise"


def _fit_chart(fit: DataFit, draws: Sequence[int]) -> Any:  # noqa: ANN401  (markup)
    names = [f"draw {j + 1}" for j in draws]
    if fit.noisy:
        return charts.strip(
            fit.draws.tolist(), names, 1.0, "chi-square per measurement, one dot a draw", fit.words
        )
    values = np.log10(fit.draws.clip(min=1e-17)).tolist()
    return charts.strip(
        values, names, None, "log10 of ||Ax - y|| / ||y||, one dot a draw", fit.words
    )


def _fit_better(fit: DataFit | None) -> str:
    if fit is None or not fit.noisy:
        return "Noise-free data are explained to rounding, 1e-6 and below."
    return "Dots on the dashed line: a draw is as far from the data as the noise is."
