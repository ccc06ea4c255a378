"""Section 6: the data fit of the draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from uqrestore.reports import svg
from uqrestore.reports.data_fit import RINGS, DataFit
from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.sections.section import Guide, Section


def context(findings: Findings, _: Shown) -> dict[str, Any]:
    """Return the chart of the draws and the sentence below it."""
    fit = findings.fit
    if isinstance(fit, str):
        return {"chart": "", "text": fit, "residual": False, "parts": []}
    return {
        "chart": _chart(fit, findings.contents.draws),
        "text": _text(fit),
        "residual": fit.residual is not None,
        "parts": _parts(fit),
    }


def _parts(fit: DataFit) -> list[tuple[str, Markup]]:
    """Return charts of the coils and of rings of k-space, where there is more than one."""
    edges = [f"{100 * i // RINGS} to {100 * (i + 1) // RINGS} %" for i in range(RINGS)]
    edges[-1] = f"{100 * (RINGS - 1) // RINGS} % and beyond"
    coils = [f"coil {i + 1}" for i in range(len(fit.coils))]
    axis = "chi-square per measurement, mean of the draws"
    found = []
    for title, names, values in (
        ("By coil", coils, fit.coils),
        ("By distance from the centre of k-space", edges[: len(fit.rings)], fit.rings),
    ):
        rows = [
            (name, float(value), False)
            for name, value in zip(names, values, strict=True)
            if np.isfinite(value)
        ]
        if len(rows) > 1:
            found.append((title, svg.forest(rows, 1.0, axis, f"{title}: {axis}.")))
    return found


def _text(fit: DataFit) -> str:
    text = f"The operator of the file was applied to every draw: {fit.summary}"
    if not fit.noisy:
        return f"{text}, over {fit.measurements} numbers measured without noise."
    low, high = float(fit.draws.min()), float(fit.draws.max())
    return (
        f"{text}; the draws lie between {low:.3g} and {high:.3g}, over {fit.measurements} "
        f"measurements. The p-value of the first draw is {_p_value(fit.p_value)}."
    )


def _p_value(value: float | None) -> str:
    return "unknown" if value is None else "below 0.001" if value < 0.001 else f"{value:.2g}"


def _chart(fit: DataFit, draws: Sequence[int]) -> Markup:
    names = [f"draw {j + 1}" for j in draws]
    if fit.noisy:
        axis = "chi-square per measurement, one dot a draw"
        return svg.strip(fit.draws.tolist(), names, 1.0, axis, fit.summary)
    values = np.log10(fit.draws.clip(min=1e-17)).tolist()
    return svg.strip(
        values, names, None, "log10 of ||Ax - y|| / ||y||, one dot a draw", fit.summary
    )


SECTION = Section(
    "fit",
    "Data fit",
    """
{% if chart %}
<div class="pair"><div>{{ chart }}</div>
{% if residual %}<figure style="width:190px"><figcaption>size of A · mean − y, where it was measured</figcaption><canvas class="map" id="map-residual" data-plain role="img" tabindex="0" aria-label="Size of the misfit of the posterior mean in the space of the measurement."></canvas>{{ m.colourbar("residual") }}</figure>{% endif %}</div>
{% endif %}
<p>{{ text }}</p>
{% if parts %}<div class="pair">{% for title, chart in parts %}<div><h3>{{ title }}</h3>{{ chart }}</div>{% endfor %}</div>
<p>A coil far from 1 has a wrong map or a wrong noise level; rings far from 1 point to a filter, a shift or a trajectory.</p>{% endif %}
""",
    context,
    Guide(
        "Whether the draws, measured again, give back the measurement.",
        "With noise: every dot near 1, the dashed line, so a draw is as far from the data as the "
        "noise is. Without noise: 1e-6 or less.",
        "Dots far from the dashed line, or a misfit with structure.",
        "A bad fit means a wrong operator, a wrong noise level, or a sampler that stopped early: "
        "correct it before reading on.",
    ),
    needs_images=True,
)
