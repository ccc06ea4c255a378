"""Small charts as inline SVG: sharp in print, a few hundred bytes, readable without a script."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

# Okabe and Ito's colours, which colour-blind readers tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#b34700", "#00725a", "#5b6573"


@dataclass(frozen=True)
class Scale:
    """Data to pixels along one axis."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return self.start + (value - self.low) / span * (self.stop - self.start)


def histogram(
    values: Sequence[float],
    interval: tuple[float, float],
    truth: float | None,
    label: str,
    prior: Sequence[float] = (),
) -> Markup:
    """Draw the posterior of one number: bars, its interval below, the truth as a line.

    Args:
        values: Draws of the posterior.
        interval: Of the posterior.
        truth: Its true value, where it is known.
        label: Text for readers who do not see the chart.
        prior: Draws of the prior, shown as a grey outline.
    """
    data = np.asarray(values, float)
    ends = [data.min(), data.max(), *interval, *([] if truth is None else [truth])]
    ends += [float(end) for end in np.quantile(prior, [0.01, 0.99])] if len(prior) else []
    pad = 0.05 * (max(ends) - min(ends)) or 1.0
    scale = Scale(min(ends) - pad, max(ends) + pad, 2.0, 158.0)
    counts, edges = np.histogram(data, bins=min(15, max(5, len(data) // 2)))
    parts = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        height = 26 * count / max(counts.max(), 1)
        parts.append(
            f'<rect x="{scale(left):.1f}" y="{28 - height:.1f}" '
            f'width="{max(scale(right) - scale(left) - 0.6, 0.6):.1f}" height="{height:.1f}" '
            f'fill="{BLUE}" opacity=".75"/>'
        )
    if len(prior):
        counts, edges = np.histogram(prior, bins=24, range=(scale.low, scale.high))
        places = zip((edges[:-1] + edges[1:]) / 2, counts / max(counts.max(), 1), strict=True)
        points = " ".join(f"{scale(x):.1f},{28 - 26 * height:.1f}" for x, height in places)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{GREY}"/>')
    low, high = interval
    parts.append(
        f'<line x1="{scale(low):.1f}" x2="{scale(high):.1f}" y1="33" y2="33" '
        f'stroke="{BLUE}" stroke-width="3"/>'
    )
    if truth is not None:
        parts.append(
            f'<line x1="{scale(truth):.1f}" x2="{scale(truth):.1f}" y1="0" y2="37" '
            f'stroke="{ORANGE}" stroke-width="1.5" stroke-dasharray="3 2"/>'
        )
    return _svg(160.0, 38.0, label, "".join(parts), "spark")


def forest(rows: Sequence[tuple[str, float, bool]], target: float, axis: str, label: str) -> Markup:
    """Draw named values beside their target.

    Args:
        rows: Name, value, and whether the row concerns this file.
        target: Value of an ideal sampler.
        axis: Label of the axis.
        label: Text for readers who do not see the chart.
    """
    width, left, step = 480.0, 196.0, 20.0
    height = step * len(rows) + 40
    values = [value for _, value, _ in rows] + [target]
    pad = 0.12 * (max(values) - min(values)) or 0.1
    scale = Scale(min(values) - pad, max(values) + pad, left, width - 14)
    bottom = step * len(rows) + 6
    parts = [
        f'<line x1="{scale(target):.1f}" x2="{scale(target):.1f}" y1="2" y2="{bottom}" '
        f'stroke="{GREY}" stroke-dasharray="4 3"/>',
        f'<line x1="{left}" x2="{width - 14}" y1="{bottom}" y2="{bottom}" stroke="{GREY}"/>',
    ]
    for i, (name, value, own) in enumerate(rows):
        y = step * i + 14
        colour, weight = (ORANGE, "600") if own else (BLUE, "400")
        parts.append(
            f'<text x="{left - 10}" y="{y + 4}" text-anchor="end" font-weight="{weight}">'
            f"{escape(name)}</text>"
            f'<line x1="{scale(target):.1f}" x2="{scale(value):.1f}" y1="{y}" y2="{y}" '
            f'stroke="{colour}" stroke-width="1.5" opacity=".5"/>'
            f'<circle cx="{scale(value):.1f}" cy="{y}" r="{6 if own else 4.5}" fill="{colour}"/>'
            f"<title>{escape(name)}: {value:.3g}</title>"
        )
    parts += _ticks(scale, bottom, axis, (left + width - 14) / 2)
    return _svg(width, height, label, "".join(parts), "chart")


def strip(
    values: Sequence[float], names: Sequence[str], target: float | None, axis: str, label: str
) -> Markup:
    """Draw one dot a draw or a scan along an axis."""
    width, height, bottom = 460.0, 84.0, 44.0
    data = [float(v) for v in values]
    ends = data + ([] if target is None else [target])
    pad = 0.08 * (max(ends) - min(ends)) or abs(max(ends)) * 0.05 or 1.0
    scale = Scale(min(ends) - pad, max(ends) + pad, 14.0, width - 14)
    parts = [f'<line x1="14" x2="{width - 14}" y1="{bottom}" y2="{bottom}" stroke="{GREY}"/>']
    if target is not None:
        parts.append(
            f'<line x1="{scale(target):.1f}" x2="{scale(target):.1f}" y1="4" y2="{bottom}" '
            f'stroke="{GREY}" stroke-dasharray="4 3"/>'
        )
    for i, (value, name) in enumerate(zip(data, names, strict=True)):
        y = 12 + 22 * ((i * 0.618) % 1)  # spread without chance, so that dots do not hide others
        parts.append(
            f'<circle cx="{scale(value):.1f}" cy="{y:.1f}" r="4" fill="{BLUE}" opacity=".7">'
            f"<title>{escape(name)}: {value:.4g}</title></circle>"
        )
    parts += _ticks(scale, bottom, axis, width / 2)
    return _svg(width, height, label, "".join(parts), "chart")


def _ticks(scale: Scale, bottom: float, axis: str, middle: float) -> list[str]:
    span = scale.high - scale.low
    step = 10 ** np.floor(np.log10(span / 4))
    step = next((m * step for m in (1, 2, 5, 10) if span / (m * step) <= 6), step)
    first = np.ceil(scale.low / step) * step
    parts = []
    for value in np.arange(first, scale.high, step):
        x = scale(float(value))
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" stroke="{GREY}"/>'
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_short(value)}</text>'
        )
    parts.append(
        f'<text x="{middle:.1f}" y="{bottom + 32}" text-anchor="middle">{escape(axis)}</text>'
    )
    return parts


def _short(value: float) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:.4g}"


def _svg(width: float, height: float, label: str, inside: str, kind: str) -> Markup:
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" '
        f'role="img" aria-label="{escape(label)}">{inside}</svg>'
    )
