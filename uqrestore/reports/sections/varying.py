"""Section: what can vary in a region, by the components of the draws inside it."""

from typing import Any

import numpy as np

from uqrestore.posterior.intervals import percent
from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.inline import picture
from uqrestore.reports.sections.section import Guide, Section
from uqrestore.reports.units import number
from uqrestore.reports.varying import Varying

STEPS = {"mean − 2 std": -2.0, "mean": 0.0, "mean + 2 std": 2.0}
MARGIN = 8
"""Pixels around a region that are shown."""
WIDTH = 150
"""Width of a picture in pixels of the page, about."""


def context(findings: Findings, _: Shown) -> dict[str, Any]:
    """Return a row of pictures for the first component of each region."""
    return {"regions": [_row(varying, findings) for varying in findings.varying]}


def _row(varying: Varying, findings: Findings) -> dict[str, Any]:
    found, z = varying.found, findings.contents.z[varying.slice]
    inside = found.region
    box = tuple(
        slice(max(int(places.min()) - MARGIN, 0), int(places.max()) + MARGIN + 1)
        for places in np.nonzero(inside)
    )
    zoom = max(1, round(WIDTH / (box[1].stop - box[1].start)))
    low, high = findings.window
    images = [
        (title, picture((varying.mean + step * found.steps[0])[box], "gray", low, high,
                        inside[box], zoom))
        for title, step in STEPS.items()
    ]  # fmt: skip
    top = float(np.abs(found.steps[0]).max()) or 1.0
    change = picture(found.steps[0][box], "PuOr_r", -top, top, inside[box], zoom)
    images.append((f"change by one std, up to ±{findings.unit.text(top, 2)}", change))
    shares = " and ".join(percent(float(share.round(3))) for share in found.explained)
    truth = (
        ""
        if varying.truth is None
        else (f" The reference lies at {number(float(varying.truth[0]), 2)} std along the first.")
    )
    return {"name": varying.name, "z": f"{z:.0f}", "shares": shares, "truth": truth,
            "images": images}  # fmt: skip


SECTION = Section(
    "varying",
    "What can vary in a region",
    """
{% for r in regions %}
<h3>{{ r.name }}, z = {{ r.z }} mm</h3>
<div class="panels">
{% for title, address in r.images %}<figure><figcaption>{{ title }}</figcaption><img src="{{ address }}" alt="{{ r.name }}: {{ title }} along the first component" style="image-rendering:pixelated;width:100%"></figure>
{% endfor %}</div>
<p>The first two components hold {{ r.shares }} of the variance of the region.{{ r.truth }}</p>
{% endfor %}
<p>Principal components of the {{ c.draws|length }} draws inside the outline, in the slice where most of the region lies; the rest of the slice follows by regression on them. The components of a whole slice share its variance among everything that is uncertain, those of a region are about one structure.</p>
""",
    context,
    Guide(
        "The first component of each region: the mean, and the mean moved by two standard "
        "deviations either way.",
        "A change that has a name: this structure larger, that one brighter; or a change too small "
        "to matter.",
        "A change between normal and abnormal, or one with no relation to the anatomy.",
        "Where both ends are plausible, the measurement does not decide between them.",
    ),
    needs_images=True,
    wanted=lambda findings: bool(findings.varying),
)
