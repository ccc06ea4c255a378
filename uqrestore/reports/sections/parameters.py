"""Section: what was not known of the measurement, drawn with the image."""

from typing import Any

from uqrestore.posterior.intervals import central_interval
from uqrestore.reports import svg
from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.parameters import MOST, ParameterPosterior
from uqrestore.reports.sections.section import Guide, Section
from uqrestore.reports.units import number


def context(findings: Findings, _: Shown) -> dict[str, Any]:
    """Return the rows of the table."""
    draws = len(findings.contents.draws)
    return {
        "parameters": [_row(parameter) for parameter in findings.parameters],
        "interval": central_interval(draws),
        "known": any(parameter.truth is not None for parameter in findings.parameters),
        "cut": len(findings.parameters) == MOST,
    }


def _row(parameter: ParameterPosterior) -> dict[str, Any]:
    data = parameter.to_data()
    low, high = parameter.interval
    unit = f" {parameter.unit}" if parameter.unit else ""
    label = f"Posterior of {parameter.name}: {low:.4g} to {high:.4g}{unit}, beside its prior"
    return {
        "name": parameter.name,
        "prior": f"{number(data['prior_mean'])} ± {number(data['prior_std'], 2)}{unit}",
        "posterior": f"{number(data['mean'])} ± {number(data['std'], 2)}{unit}",
        "interval": f"{number(low)} to {number(high)}",
        "chart": svg.histogram(
            parameter.values.tolist(), (low, high), parameter.truth, label, parameter.prior.tolist()
        ),
    }


SECTION = Section(
    "parameters",
    "Unknown parameters",
    """
<div class="scroll" tabindex="0" role="group" aria-label="Table of unknown parameters"><table><thead><tr><th>parameter</th><th class="n">prior</th><th class="n">posterior</th><th class="n">{{ interval.name }} interval</th><th>posterior and prior</th></tr></thead><tbody>
{% for p in parameters %}<tr><th scope="row">{{ p.name }}</th><td class="n">{{ p.prior }}</td><td class="n">{{ p.posterior }}</td><td class="n">{{ p.interval }}</td><td>{{ p.chart }}</td></tr>
{% endfor %}</tbody></table></div>
<p>Drawn with the image, so that the spread of the image grows by what they leave open. Mean ± standard deviation; bars are the {{ c.draws|length }} draws, the line under them the interval, and the grey outline the prior.{% if known %} Dashed: the value with which the measurement was simulated.{% endif %}{% if cut %} Only the first {{ parameters|length }} numbers are shown; the file holds all of them in /parameters.{% endif %}</p>
""",
    context,
    Guide(
        "What was not known of the measurement: the posterior of each parameter beside its prior.",
        "A posterior within its prior, and narrower where the measurement says something.",
        "A posterior at the edge of its prior, or outside: the prior or the model is wrong.",
        "Widen the prior, or correct its centre, and draw again.",
    ),
    wanted=lambda findings: bool(findings.parameters),
)
