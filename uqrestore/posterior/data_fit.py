"""Data fit of the draws of a posterior file, from the residuals stored when they were drawn."""

import numpy as np
from jaxtyping import Float64

from uqrestore.posterior.view import PosteriorFile

GOOD, FAIR = (0.9, 1.1), (0.75, 1.33)
"""Chi-square per measurement of draws that fit the data, and of draws that nearly do."""

WARNING = "WARNING"
"""First word of lines that must not be overlooked."""


def fit_grade(chi_square: float) -> str:
    """Return ``good``, ``fair`` or ``poor`` for a chi-square per measurement."""
    if GOOD[0] < chi_square < GOOD[1]:
        return "good"
    return "fair" if FAIR[0] < chi_square < FAIR[1] else "poor"


def chi_squares(file: PosteriorFile) -> Float64[np.ndarray, "draw z"] | None:
    r"""Return the chi-square per measurement of every slice of every draw.

    .. math:: \chi^2 / n = \|A x - y\|^2 / (n \sigma^2)

    with the stored relative residual :math:`\|A x - y\| / \|y\|` and :math:`n` real measurements
    of a slice; about 1 for draws of the posterior, see docs/maths.md, eq. (10).

    Files of other noise models or operators hold the chi-square itself: the mean misfit of an
    entry by the noise model, with the parameters that were drawn.

    Returns:
        NaN where nothing is written; None without noise, or in a file without residuals.
    """
    stated = file.find("sample_stats/chi_square")
    if stated is not None:
        return stated.isel(chain=0).transpose("draw", "z").values.astype(np.float64)
    residual, noise = file.find("sample_stats/residual"), file.find("observed_data/noise_std")
    if residual is None or noise is None or not (noise.values > 0).all():
        return None
    y = file["observed_data/y"].variable
    rows = file.operator().measured_rows().numpy()
    # A slice at a time: k-space of many coils is large.
    power = [np.square(y.isel(z=z).values.astype(np.float64)).sum() for z in range(y.sizes["z"])]
    relative = np.array(power) / (rows * noise.values.astype(np.float64) ** 2)
    values = residual.isel(chain=0).transpose("draw", "z").values.astype(np.float64)
    return values**2 * relative


UNSOLVED, STUCK = 0.1, 0.1
"""Relative residual of solves, and acceptance of trajectories, beyond which chains do not mix."""


def chain_warning(file: PosteriorFile) -> str:
    """Return why the draws of a file are not those of the posterior; empty if nothing says so.

    Every draw is a chain of its own that ends in one state, so that there is no R-hat: what is
    known is how many of its trajectories were accepted, and how exactly its systems were solved.
    """
    found = []
    accepted, residual = (
        file.find(f"sample_stats/{name}") for name in ("acceptance", "solve_residual")
    )
    if accepted is not None and (share := float(np.nanmean(accepted.values))) < STUCK:
        found.append(
            f"{share:.1%} of the trajectories at low noise were accepted, so draws have hardly "
            "moved; give more leaps, or more levels"
        )
    if residual is not None and (size := float(np.nanmedian(residual.values))) > UNSOLVED:
        found.append(
            f"solves stopped at a relative residual of {size:.2g}, so draws may be far off; give "
            "more data_products"
        )
    return "; ".join(found)


def fit_line(
    chi_square: Float64[np.ndarray, "draw z"], slices: np.ndarray, *, general: bool = False
) -> str:
    """Return one line with the data fit: a number, or a warning that names the worst slice.

    Args:
        chi_square: As :func:`chi_squares` returns it.
        slices: Index of every slice on the model's grid.
        general: Whether the measurement is not linear, or its noise not Gaussian.
    """
    typical = np.nanmedian(chi_square, axis=0)
    worst = int(np.argmax(np.abs(np.log(np.maximum(typical, 1e-30)))))
    if fit_grade(float(typical[worst])) != "poor":
        return f"data fit: chi-square per measurement {np.median(typical):.2f} (target 1)"
    poor = sum(fit_grade(float(value)) == "poor" for value in typical)
    where = f" in {poor} of {len(slices)} slices, at worst" if len(slices) > 1 else ""
    at = f" in slice {slices[worst]}" if len(slices) > 1 else ""
    if typical[worst] > 1 and general:
        why = (
            "the draws contradict the measurement, and their error bars mean nothing. Likely "
            "causes: too few levels or rounds of 'linearise', a wrong noise model, or an operator "
            "that is not that of the scan"
        )
    elif typical[worst] > 1:
        why = (
            "the draws contradict the measurement, and their error bars mean nothing. Likely "
            "causes: coil maps from too few calibration lines, a noise level that is too low, "
            "or k-space that is shifted or conjugated"
        )
    else:
        why = "the draws fit the noise; the noise level is probably too high"
    return (
        f"{WARNING}: data fit is poor{where}: chi-square per measurement {typical[worst]:.3g}{at} "
        f"(target 1): {why}. The report shows it per coil and per frequency."
    )
