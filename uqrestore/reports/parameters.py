"""Unknown parameters of a measurement: the posterior of each beside its prior."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore.posterior import read_operator
from uqrestore.posterior.intervals import central_interval
from uqrestore.posterior.parameters import prior_draws
from uqrestore.posterior.view import PosteriorFile
from uqrestore.reports.contents import Contents

MOST = 48
"""Numbers that a page shows; the file holds all of them."""


@dataclass(frozen=True, eq=False)
class ParameterPosterior:
    """One unknown number of the measurement of one slice.

    Attributes:
        name: Name of the parameter and its place in it, in a report with its slice.
        unit: Its unit; empty for a pure number.
        values: Draws of the posterior.
        prior: Draws of the prior.
        truth: Its value in a simulated measurement; None where it is not known.
    """

    name: str
    unit: str
    values: Float[np.ndarray, " draw"]
    prior: Float[np.ndarray, " prior_draw"]
    truth: float | None

    @property
    def interval(self) -> tuple[float, float]:
        """Central interval of the draws, of the level next to 90 %."""
        low, high = central_interval(len(self.values)).of(self.values)
        return float(low), float(high)

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "mean": float(self.values.mean()),
            "std": float(self.values.std(ddof=1)),
            "interval": list(self.interval),
            "interval_level": central_interval(len(self.values)).level,
            "prior_mean": float(self.prior.mean()),
            "prior_std": float(self.prior.std()),
            "truth": self.truth,
        }


def unknown_parameters(contents: Contents) -> tuple[ParameterPosterior, ...]:
    """Return the first :data:`MOST` unknown numbers of the slices shown; none without two draws."""
    rows = zip(contents.rows, contents.slices, strict=True)
    every = (
        replace(one, name=f"{one.name}, slice {index}")
        for row, index in rows
        for one in slice_parameters(contents.file, int(row), list(contents.draws))
    )
    return tuple(itertools.islice(every, MOST))


def slice_parameters(
    file: PosteriorFile, row: int, draws: Sequence[int]
) -> Iterator[ParameterPosterior]:
    """Yield the unknown numbers of one slice; none of fewer than two draws.

    Args:
        file: The file.
        row: Position of the slice in it.
        draws: Draws that are written for it.
    """
    noise = file.noise_model()
    if noise is None or not file.parameters or len(draws) < 2:
        return
    prior = prior_draws(read_operator(file.path), noise)
    for name, drawn in file.parameters.items():
        values = drawn.isel(chain=0, z=row).values[list(draws)].astype(np.float64)
        truth = drawn.attrs.get("truth")
        if truth is not None:
            truth = np.reshape(truth, (drawn.sizes["z"], *values.shape[1:]))[row]
        unit = str(drawn.attrs.get("units", "1"))
        for place in np.ndindex(values.shape[1:]):
            at = f" {', '.join(str(i + 1) for i in place)}" if place else ""
            yield ParameterPosterior(
                f"{name.replace('_', ' ')}{at}",
                "" if unit == "1" else unit,
                values[(slice(None), *place)],
                prior[name][(slice(None), *place)],
                None if truth is None else float(truth[place]),
            )
