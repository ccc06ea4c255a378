"""Section 8: what the uncertainty does not include."""

from typing import Any

from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.method_card import prior_card
from uqrestore.reports.sections.section import Guide, Section


def context(findings: Findings, _: Shown) -> dict[str, Any]:
    """Return the card of the prior and the bound of what no draw shows."""
    card, note = prior_card(findings.contents)
    draws = len(findings.contents.draws)
    return {
        "prior": card,
        "note": note,
        "draws": draws,
        "absent": f"{min(1.0, 3 / max(draws, 1)):.0%}",
    }


SECTION = Section(
    "limits",
    "Limits",
    """
<ul class="limits">
<li>Research software, not a medical device, not for diagnosis.</li>
<li>The uncertainty is conditional on the learned prior and the stated forward model. It covers noise and missing data. {% if f.parameters %}It covers the unknown parameters as far as their prior is right. {% endif %}It does not cover a wrong model, motion, errors of coil maps, a wrong noise level, or patients unlike those the prior was trained on{% if f.parameters %}, beyond what was drawn with the image{% endif %}.</li>
<li>A plausible draw is no evidence that a structure exists. A structure that is absent from all {{ draws }} draws has a posterior probability below {{ absent }} (95 % confidence), if the sampler is exact.</li>
<li>Pixel intervals hold for single pixels; nothing is stated about all pixels of a structure at once{% if not f.guarantee %}, and no interval carries a guarantee{% endif %}.</li>
{% if f.guarantee %}<li>The guarantee is about scans like those of the calibration, on average; not about one patient or one lesion.</li>{% endif %}
{% if prior %}<li>The prior ({{ prior.title or prior.name }}) was trained on: {% for d in prior.data %}{{ d.get("name", "") }}{% if not loop.last %}; {% endif %}{% endfor %}. {{ prior.known_limits }}</li>{% endif %}
{% if note %}<li>{{ note }}</li>{% endif %}
<li>Not done here: restoring the same scan with a second prior, half the steps, or another seed. The largest shift among these is a lower bound of what the intervals leave out.</li>
</ul>
""",
    context,
    Guide(
        "What the numbers above do not include.",
        "A scan of the kind the prior was trained on, and an operator that was calibrated.",
        "Pathology, another contrast, another scanner, motion.",
        "If any line describes your scan, take the spread as a lower bound.",
    ),
)
