"""Section 7: calibration of the method, and the check against the reference image."""

from typing import Any

from markupsafe import Markup

from uqrestore.posterior.intervals import percent
from uqrestore.reports import svg
from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.method_card import Calibration
from uqrestore.reports.sections.section import Guide, Section


def context(findings: Findings, _: Shown) -> dict[str, Any]:
    """Return the charts of the card and the check against the reference."""
    calibration = findings.calibration
    return {
        "calibration": calibration,
        "charts": _charts(calibration) if calibration.rows else (),
        "check": _check(findings),
    }


def _charts(calibration: Calibration) -> tuple[Markup, Markup]:
    names = [
        f"{row.operator}, noise {row.noise_std:g}" if row.noise_std else f"{row.operator}, no noise"
        for row in calibration.rows
    ]
    own = [row.same_operator for row in calibration.rows]
    variance = [row.variance_ratio for row in calibration.rows]
    coverage = [100 * row.coverage for row in calibration.rows]
    method = calibration.method
    return (
        svg.forest(
            list(zip(names, variance, own, strict=True)),
            1.0,
            "variance of the draws / exact posterior variance",
            f"Variance ratios of {method} by operator; the target is 1.",
        ),
        svg.forest(
            list(zip(names, coverage, own, strict=True)),
            90.0,
            "pixels inside their 90 % interval, %",
            f"Coverage of {method} by operator; the target is 90.",
        ),
    )


def _check(findings: Findings) -> str:
    check, c = findings.check, findings.contents
    if check is None:
        return ""
    where = "inside the mask" if c.has_mask else "of the image"
    text = (
        f"The {c.interval} interval holds the reference in {percent(check.coverage)} of the pixels "
    )
    text += f"{where}. "
    if check.error_over_std is not None:
        text += f"The error of the mean is {check.error_over_std:.2f} times the spread (target 1). "
    return text + (
        "Pixels of one scan are not independent: this is one example, not a calibration."
    )


SECTION = Section(
    "calibration",
    "Calibration",
    """
{% if f.guarantee %}<p class="statement">{{ f.guarantee }} The intervals of pixels on this page are those with the guarantee.</p>{% endif %}
<p>{{ calibration.summary }}{% if calibration.rows and calibration.note %} {{ calibration.note }}{% endif %}</p>
{% if charts %}
<div class="pair">{% for chart in charts %}{{ chart }}{% endfor %}</div>
<p>Measured on: {{ calibration.problem }}. Orange: the operator of this file; dashed: an ideal sampler. This tests the sampling method alone, not the trained network.</p>
{% endif %}
{% if check %}<h3>This file against its own reference image</h3><p>{{ check }}</p>{% endif %}
""",
    context,
    Guide(
        "Whether 90 % means 90 %: for the method on problems whose posterior is known, and for this "
        "scan if there is a reference.",
        "Variance ratio 1, coverage on the dashed line.",
        "A variance ratio far below 1: then every interval on this page is too narrow.",
        "Calibrate on scans of your own whose truth is known, with `uqrestore calibrate`.",
    ),
    needs_images=True,
)
