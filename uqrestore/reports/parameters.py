"""Unknown parameters of a measurement: the posterior of each beside its prior."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore.posterior import read_operator
from uqrestore.posterior.intervals import central_interval
from uqrestore.posterior.parameters import prior_draws
from uqrestore.reports.contents import Contents

MOST = 48
"""Numbers that a page shows; the file holds all of them."""


@dataclass(frozen=True, eq=False)
class ParameterPosterior:
    """One unknown number of the measurement of one slice.

    Attributes:
        name: Name of the parameter, its place in it, and its slice.
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
    file, draws = contents.file, list(contents.draws)
    noise = file.noise_model()
    if noise is None or not file.parameters or len(draws) < 2:
        return ()
    prior = prior_draws(read_operator(file.path), noise)
    return tuple(itertools.islice(_numbers(contents, draws, prior), MOST))


def _numbers(
    contents: Contents, draws: list[int], prior: dict[str, np.ndarray]
) -> Iterator[ParameterPosterior]:
    for row, index in zip(contents.rows, contents.slices, strict=True):
        for name, drawn in contents.file.parameters.items():
            values = drawn.isel(chain=0, z=int(row)).values[draws].astype(np.float64)
            truth = drawn.attrs.get("truth")
            if truth is not None:
                truth = np.reshape(truth, (drawn.sizes["z"], *values.shape[1:]))[int(row)]
            unit = str(drawn.attrs.get("units", "1"))
            for place in np.ndindex(values.shape[1:]):
                at = f" {', '.join(str(i + 1) for i in place)}" if place else ""
                yield ParameterPosterior(
                    f"{name.replace('_', ' ')}{at}, slice {index}",
                    "" if unit == "1" else unit,
                    values[(slice(None), *place)],
                    prior[name][(slice(None), *place)],
                    None if truth is None else float(truth[place]),
                )
