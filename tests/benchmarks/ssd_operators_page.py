"""Page of ``tests.benchmarks.ssd_operators``."""

import math
from collections.abc import Mapping

Row = Mapping[str, Mapping[str, float]]
Rows = Mapping[str, Row]
DEFAULT = (550, 0.4)
"""Turning point and new noise of the method, unless a pipeline says otherwise."""


def page(rows: Rows, slices: int, draws: int) -> str:
    """Return the page."""
    sections = [f"### {name}\n\n{_table(row)}" for name, row in rows.items()]
    return PAGE.format(
        slices=slices,
        draws=draws,
        best="\n".join(_best(name, row) for name, row in rows.items()),
        injection="\n".join(_injection(name, row) for name, row in rows.items() if _twice(row)),
        sections="\n\n".join(sections),
    )


def _without(row: Row) -> dict[tuple[int, float], Mapping[str, float]]:
    """Return the settings without attention injection."""
    found = {}
    for key, numbers in row.items():
        t0, eta, injection = key.split(", ")
        if injection == "0":
            found[int(t0), float(eta)] = numbers
    return found


def _twice(row: Row) -> bool:
    return any(not key.endswith(", 0") for key in row)


def _best(name: str, row: Row) -> str:
    """Line of the first table: the default beside the best setting of each kind."""
    found = _without(row)
    at = found[DEFAULT]
    mean, draw = (max(found, key=lambda s: found[s][key]) for key in ("mean", "draw"))
    spread = min(found, key=lambda s: abs(math.log(found[s]["spread"])))
    return (
        f"| {name} | {at['start']:.2f} | {at['mean']:.2f}, {at['draw']:.2f}, {at['spread']:.2f} "
        f"| {_words(mean)}: {found[mean]['mean']:.2f} "
        f"| {_words(draw)}: {found[draw]['draw']:.2f} "
        f"| {_words(spread)}: {found[spread]['spread']:.2f} |"
    )


def _words(setting: tuple[int, float]) -> str:
    return f"{setting[0]}, {setting[1]:g}"


def _injection(name: str, row: Row) -> str:
    """Line of the table on injection: the largest change of each number."""
    most = {}
    for number in ("mean", "draw", "spread"):
        changes = []
        for key, with_it in row.items():
            if not key.endswith(", 0"):
                without = row[key.rpartition(", ")[0] + ", 0"]
                changes.append(with_it[number] - without[number])
        most[number] = max(changes, key=abs)
    return f"| {name} | {most['mean']:+.3f} | {most['draw']:+.3f} | {most['spread']:+.3f} |"


def _table(row: Row) -> str:
    """Return the grid of one operator: turning points down, new noise across."""
    found = _without(row)
    etas = sorted({eta for _, eta in found})
    lines = ["| `t0` | " + " | ".join(f"`eta_inversion` {eta:g}" for eta in etas) + " |"]
    lines.append("|---" * (len(etas) + 1) + "|")
    for t0 in sorted({t0 for t0, _ in found}):
        cells = (found[t0, eta] for eta in etas)
        numbers = [f"{c['mean']:.2f}, {c['draw']:.2f}, {c['spread']:.2f}" for c in cells]
        lines.append(f"| {t0} | " + " | ".join(numbers) + " |")
    return "\n".join(lines)


PAGE = """# SSD by operator: where to turn, how much new noise, injection

The paper of SSD (arXiv:2305.16965) leaves open how its shortcut does on other operators, nonlinear
and unknown ones among them, and which turning point `t0`, new noise `eta_inversion` and attention
injection are best where. Here: `ssd` in 29 calls (preset `30`), noise-free measurements,
`brain64-prior`, one slice of 64 x 64 of {slices} people of IXI whom no training saw, {draws} draws.
Colorization has three contrasts of other people drawn from label maps, and the Gaussian prior of
such slices. Nonlinear operators are projected onto by Gauss-Newton steps; unknown parameters are
estimated again in each of them, and not drawn. Phase retrieval does not tell an image from its
negative: the nearer one is taken.

PSNR is the mean over slices, peak 2: of the mean of the draws, and of single draws. Spread is the
root mean square deviation of the draws over the error of their mean, corrected for their number: 1
is right, below 1 is too narrow.

## The best setting of each operator

Settings are `t0`, `eta_inversion`; the default is 550, 0.4. Start is the minimum-norm image (an
empty one for the nonlinear operators).

| operator | start, dB | default: mean, draw, spread | best mean | best draw | spread nearest to 1 |
|---|---|---|---|---|---|
{best}

- The default is within 0.35 dB of the best mean everywhere but for phase retrieval and the blur of
  unknown width (0.55 dB).
- An early turn (`t0` 350) without new noise has the best single draws of super-resolution x4 and
  deblurring, 0.3 to 0.4 dB above the default, and the narrowest ones: their start is a good image.
- At the default, spread is right for k-space and a seventh too wide for in-painting. For
  super-resolution, deblurring, colorization, saturation and an unknown width draws are too narrow
  (0.65 to 0.83); of these, a setting mends saturation alone.
- Phase retrieval needs a high turning point: from an empty image, draws that turn early keep a
  wrong image.

## Attention injection

It can be left out, as in the last version of the paper.

Two injected steps against none, at `eta_inversion` 0.4: the change that is largest in size over the
three turning points.

| operator | mean, dB | draw, dB | spread |
|---|---|---|---|
{injection}

## Every setting

Each cell: PSNR of the mean, PSNR of a draw (dB), spread.

{sections}

## What was run

    python -m tests.benchmarks.ssd_operators DATA
"""
