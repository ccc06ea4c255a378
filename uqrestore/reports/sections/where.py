"""Section 3: where the posterior is wide."""

from typing import Any

from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.pictures import TOLERANCE_SHARE
from uqrestore.reports.sections.section import Guide, Section
from uqrestore.reports.window import top_of


def context(findings: Findings, _: Shown) -> dict[str, Any]:
    """Return the range of the slider of the tolerance, in the unit of the page."""
    (low, high), maps = findings.window, findings.contents.maps
    start, widest = TOLERANCE_SHARE * (high - low), top_of(maps["high"] - maps["low"])
    factor = findings.unit.factor
    return {
        "tolerance": factor * start,
        "tolerance_top": factor * max(widest, 1.5 * start),
        "tolerance_text": findings.unit.text(start),
    }


SECTION = Section(
    "where",
    "Where it is uncertain",
    """
<div class="controls">{{ m.slicer("where") }}
<label for="tolerance">largest acceptable width of the {{ c.interval }} interval <input type="range" id="tolerance" min="0" max="{{ tolerance_top }}" step="any" value="{{ tolerance }}"> <output id="tolerance-out">{{ tolerance_text }}</output></label></div>
<div class="panels">
{{ m.picture("contour", "mean; outlined: the tenth of the pixels with the largest standard deviation", "grey", "Posterior mean; outlined are the pixels whose standard deviation is in the highest tenth.") }}
{{ m.picture("tolerance", "mean; hatched: interval wider than acceptable", "grey", "Posterior mean; hatched are pixels whose " ~ c.interval ~ " interval is wider than acceptable.") }}
{{ m.picture("ratio", "mean / standard deviation", "ratio", "Posterior mean over its standard deviation.") }}
</div>
<p id="wide" class="readout" aria-live="polite"></p>
""",
    context,
    Guide(
        "Where the posterior is wide, on the image that you would measure on.",
        "Little is hatched at the width that your question can accept.",
        "The region that you want to measure is hatched.",
        "Set the slider to the smallest difference that matters to you, and do not measure in "
        "hatched regions.",
    ),
    needs_images=True,
)
