"""Section 5: the posterior of region means."""

from collections.abc import Mapping
from typing import Any

from uqrestore.posterior.intervals import central_interval
from uqrestore.reports import svg
from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.regions import Region
from uqrestore.reports.sections.section import Guide, Section
from uqrestore.reports.units import DisplayUnit, number


def context(findings: Findings, _: Shown) -> dict[str, Any]:
    """Return the rows of the table."""
    c, threshold = findings.contents, findings.threshold
    return {
        "regions": [_row(region, findings.unit) for region in findings.regions],
        "interval": central_interval(len(c.draws)) if c.draws else None,
        "threshold": None if threshold is None else findings.unit.number(threshold),
        "slices": _slices(c.provenance),
    }


def _row(region: Region, unit: DisplayUnit) -> dict[str, Any]:
    low, high = region.interval
    ends = unit.factor * low, unit.factor * high
    truth = None if region.truth is None else unit.factor * region.truth
    label = f"Posterior of {region.name}: {unit.text(low, 4)} to {unit.text(high, 4)}"
    return {
        "name": region.name,
        "voxels": region.voxels,
        "millilitres": number(region.millilitres, 3),
        "estimate": unit.number(region.estimate),
        "interval": f"{unit.number(low)} to {unit.number(high)}",
        "guaranteed": _span(region.guaranteed, unit),
        "truth": "" if truth is None else number(truth),
        "chance": "" if region.above is None else _chance(region.above, len(region.values)),
        "chart": svg.histogram((unit.factor * region.values).tolist(), ends, truth, label),
    }


def _span(ends: tuple[float, float] | None, unit: DisplayUnit) -> str:
    return "" if ends is None else f"{unit.number(ends[0])} to {unit.number(ends[1])}"


def _chance(share: float, draws: int) -> str:
    """Write a share of draws; none or all of them only bound a probability."""
    if share in (0.0, 1.0):
        bound = min(1.0, 3 / draws)
        return f"< {bound:.2g}" if share == 0 else f"> {1 - bound:.2g}"
    return f"{share:.2f}"


def _slices(provenance: Mapping[str, Any]) -> str:
    """Return what is assumed about errors of neighbouring slices."""
    pipeline = provenance.get("pipeline")
    pipeline = pipeline if isinstance(pipeline, Mapping) else {}
    length = pipeline.get("axial_mm")
    if isinstance(length, int | float) and length > 0:
        return (
            f"The noise of neighbouring slices is correlated over {length:g} mm (axial_mm), which "
            "models errors that extend across slices; the model is fitted, not exact."
        )
    return (
        "Slices are drawn independently of each other, so the interval of a region over several "
        "slices is too narrow where errors of neighbouring slices go together."
    )


SECTION = Section(
    "numbers",
    "Numbers",
    """
{% if regions %}
{% if f.region_guarantee %}<p class="light good" role="note"><b>✓ Guaranteed</b> {{ f.region_guarantee }} Regions without a guaranteed interval were not calibrated.</p>
{% elif f.regions_warning %}<p class="light fair warning" role="note"><b>△ Not calibrated</b> {{ f.regions_warning }}</p>{% endif %}
<div class="scroll" tabindex="0" role="group" aria-label="Table of regions"><table><thead><tr><th>region</th><th class="n">pixels</th><th class="n">mL</th><th class="n">mean, {{ u.name }}</th><th class="n">{{ interval.name }} interval{% if f.regions_warning %} △{% endif %}</th>{% if f.region_guarantee %}<th class="n">guaranteed interval</th>{% endif %}<th>posterior of the mean</th>{% if "truth" in c.maps %}<th class="n">reference</th>{% endif %}{% if threshold is not none %}<th class="n">P(mean &gt; {{ threshold }})</th>{% endif %}</tr></thead><tbody>
{% for r in regions %}<tr><th scope="row">{{ r.name }}</th><td class="n">{{ r.voxels }}</td><td class="n">{{ r.millilitres }}</td><td class="n">{{ r.estimate }}</td><td class="n">{{ r.interval }}</td>{% if f.region_guarantee %}<td class="n">{{ r.guaranteed or "△ none" }}</td>{% endif %}<td>{{ r.chart }}</td>{% if "truth" in c.maps %}<td class="n">{{ r.truth }}</td>{% endif %}{% if threshold is not none %}<td class="n">{{ r.chance }}</td>{% endif %}</tr>
{% endfor %}</tbody></table></div>
<p>The mean over the region in each of {{ c.draws|length }} draws. The interval (line under the bars) runs from {{ interval.ends }}: that of an ideal sampler holds the true mean with a probability of exactly {{ interval.name }}.{% if "truth" in c.maps %} Dashed: the reference image.{% endif %} The spread covers noise and missing data. It does not cover a wrong forward model, motion, or how the region was drawn.{% if "truth" in c.maps %} A region drawn on the reference image, as the mask is, selects what is bright there, so that the mean of the draws inside is too low, even that of an ideal sampler; a region chosen without the reference has no such bias.{% endif %} {{ slices }}</p>
{% else %}<p>No draw is written for every slice, so no region can be measured.</p>{% endif %}
""",
    context,
    Guide(
        "The posterior of every region mean that you might quote.",
        "One narrow peak, and an interval narrower than the difference that matters to you.",
        "Two peaks, or an interval that a decision depends on.",
        "Quote the interval with its level, never the mean alone; pass --labels for regions of "
        "your own.",
    ),
    needs_images=True,
)
