"""Section 4: how the posterior is wide, along its principal components."""

from typing import Any

from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.sections.section import Guide, Section
from uqrestore.reports.units import share_of_variance

IN_PHASE = (
    " Images are complex: shown is the part of each component in phase with the mean, by which the "
    "magnitude changes to first order; the data fit is that of the complex image."
)


def context(findings: Findings, shown: Shown) -> dict[str, Any]:
    """Return the share of every component, and where the components come from."""
    c = findings.contents
    std = c.file.find("estimate/pc_std")
    source = "" if std is None else str(std.attrs.get("pc_std_source", ""))
    return {
        "shares": [share_of_variance(float(share)) for share in c.explained[: shown.components]],
        "source": {
            "draws-crossfit": f"They come from {c.planned} draws; the standard deviations are those "
            "of draws left out of the fit, since fitted ones are too large.",
            "nppc": "They are predicted by the network.",
        }.get(source, "")
        + (IN_PHASE if c.file.complex_image else ""),
    }


SECTION = Section(
    "how",
    "How it is uncertain",
    """
{% if shown.components %}
<div class="controls">{{ m.slicer("how") }}
<button type="button" id="reset">back to the mean</button>
<button type="button" id="sweep" data-name="sweep the last slider" aria-pressed="false">sweep the last slider</button>
{% if shown.draws %}<button type="button" id="toDraw">move to the draw shown above</button>{% endif %}</div>
<div class="how"><div>
{% for share in shares %}
<div class="slider"><label for="component-{{ loop.index0 }}"><span>component {{ loop.index }}</span><output id="alpha-{{ loop.index0 }}">+0.00 std</output></label>
<input type="range" id="component-{{ loop.index0 }}" data-component="{{ loop.index0 }}" min="-3" max="3" step="0.05" value="0">
<small>{{ share }}</small></div>
{% endfor %}
<p><span class="badge good" id="badge-range"></span>{% if f.fit is not string %}<span class="badge good" id="badge-fit"></span>{% endif %}</p>
</div><div class="panels">
{{ m.picture("moved", "mean + sliders", "grey", "Posterior mean moved along the components by the sliders.") }}
{{ m.picture("change", "change made by the sliders", "change", "Change from the posterior mean made by the sliders.") }}
{% if shown.draws %}<figure><figcaption>nearest draw <small id="nearest-name"></small></figcaption><canvas class="map" id="map-nearest" role="img" tabindex="0" aria-label="The posterior draw whose components are nearest to the sliders."></canvas>{{ m.colourbar("grey") }}</figure>{% endif %}
</div></div>
<h3>One standard deviation along each component</h3>
<div class="panels">{% for share in shares %}{{ m.picture("step" ~ loop.index0, "component " ~ loop.index, "step", "One standard deviation along component " ~ loop.index ~ ".") }}{% endfor %}</div>
<p>The image shown is mean + Σ α<sub>k</sub> σ<sub>k</sub> v<sub>k</sub>, slice by slice: each slider moves the image along one principal component v<sub>k</sub> of the posterior by α<sub>k</sub> of its standard deviations σ<sub>k</sub>. {{ source }}</p>
{% else %}<p>This file holds no principal components.</p>{% endif %}
""",
    context,
    Guide(
        "Changes of the image that the measurement cannot rule out, largest first.",
        "A few components carry most of the variance, and each has a meaning: a shift, a contrast, "
        "an edge.",
        "Many components of equal, small share: the uncertainty has no simple form.",
        "Move a slider to ±2 and watch the structure of interest. If it fades while the image still "
        "fits the data, the measurement does not determine it.",
    ),
    needs_images=True,
)
