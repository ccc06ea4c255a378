"""Section 1: the verdict at a glance."""

import json
from typing import Any

import numpy as np

from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.regions import Region
from uqrestore.reports.sections.section import Guide, Section
from uqrestore.reports.verdict import lights, statement


def context(findings: Findings, shown: Shown) -> dict[str, Any]:
    """Return lights, statement and the widest spots."""
    spots = [region for region in findings.regions if region.name.startswith("widest spot")]
    share = findings.half_width_share
    return {
        "lights": lights(findings),
        "statement": statement(findings),
        "half_width": "" if share is None else findings.unit.text(findings.half_width or 0.0),
        "half_width_share": f"{100 * (share or 0):.1f} %",
        "where": "inside the mask" if findings.contents.has_mask else "of the image",
        "spots": [_spot(findings, shown, spot) for spot in spots],
        "missing": [*findings.warnings, *findings.contents.missing],
    }


def _spot(findings: Findings, shown: Shown, spot: Region) -> dict[str, str]:
    c = findings.contents
    x, y, z = spot.position
    row, column = int(np.abs(c.y - y).argmin()), int(np.abs(c.x - x).argmin())
    slices = np.asarray(shown.slices)
    low, high = findings.window
    return {
        "jump": json.dumps([int(np.abs(slices - spot.slice).argmin()), row, column]),
        "text": (
            f"({spot.name[-1]}) at x {x:.0f}, y {y:.0f}, z {z:.0f} mm, {spot.millilitres:.1f} mL, "
            f"±{100 * spot.half_width / (high - low):.2g} % of the display range"
        ),
    }


SECTION = Section(
    "verdict",
    "Verdict",
    """
<div class="lights">
{% for light in lights %}
<div class="light {{ light.grade }}"><b>{{ light.name }}</b><span class="word">{{ light.sign }} {{ light.word }}</span><p>{{ light.text }}</p></div>
{% endfor %}
</div>
<p class="statement">{{ statement }}</p>
{% if half_width %}
<p>The {{ c.interval }} interval of a pixel {{ where }} reaches on average {{ half_width }} to either side ({{ half_width_share }} of the display range). {% if spots %}The posterior is widest
{% for spot in spots %}<button type="button" class="spot" data-spot="{{ spot.jump }}">{{ spot.text }}</button>{% if not loop.last %}; {% endif %}{% endfor %}{% if f.regions_warning %} (△ region means are not calibrated, see Numbers){% endif %}.{% endif %} {{ u.note }}</p>
{% endif %}
{% if missing %}<h3>Not in this report</h3><ul class="notes">{% for line in missing %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
""",
    context,
    Guide(
        "Four checks, each with the number behind it.",
        "All four pass: the prior was trained on such scans, the draws fit the measurement, the "
        "method is calibrated, the run is complete.",
        "A scan out of scope, or draws that do not fit the measurement: then nothing below can be "
        "relied on.",
        "Read from left to right, and correct the first check that fails before reading on.",
    ),
)
