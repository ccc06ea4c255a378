"""Maps of a posterior file as volumes: on the model's grid, or on that of the scan's own file."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.view import PosteriorFile

ROUNDED = 0.01
"""Largest relative error of a standard deviation of draws that were rounded."""

Volume = Float[np.ndarray, "_ _ _"]


def place(file: PosteriorFile, values: Float[np.ndarray, "z y x"], native: bool) -> Volume:
    """Put slices into their grid, NaN around them; after resampling values are interpolated.

    Args:
        file: File of the slices, with their placement.
        values: A map that may be interpolated: an image, a mean, a component.
        native: Use the grid and axis order of the scan's own file.
    """
    placement = file.placement
    model = np.full(placement.model.shape, np.nan, np.float32)
    model[:, :, file.slices] = values.transpose(2, 1, 0)
    return placement.to_native(model) if native else model


def placed_std(file: PosteriorFile, channel: int, native: bool) -> Volume:
    """Return the standard deviation of all draws; after resampling, of resampled draws.

    The spread of an average of neighbours follows from the draws alone, not from the spread of
    each pixel.

    Raises:
        PosteriorError: If the scan was resampled and not all draws are in the file, or too few
            of their bits.
    """
    std = file.variable("std").isel(channel=channel, missing_dims="ignore").values
    if not (native and file.placement.resampled):
        return place(file, std, native)
    kept = file.samples.sizes["sample"]
    hint = (
        "export it on the model's grid (--model-grid), where it is exact, or restore with "
        "--keep all"
    )
    if kept < file.draws:
        raise PosteriorError(
            f"{file.path}: keeps {kept} of its {file.draws} draws, and the standard deviation on "
            f"the scan's own grid needs all of them; {hint}."
        )
    of_kept = spread(placed_draws(file, channel, native=False), kept)[..., file.slices]
    error = of_kept.transpose(2, 1, 0) - std
    if kept > 1 and np.square(error).sum() > ROUNDED**2 * np.square(std).sum():
        raise PosteriorError(
            f"{file.path}: its draws are rounded too far (--bits) for the standard deviation on "
            f"the scan's own grid; {hint} and all --bits."
        )
    return spread(placed_draws(file, channel, native=True), kept)


def placed_draws(file: PosteriorFile, channel: int, native: bool) -> Iterator[Volume]:
    """Yield the draws that are kept, one at a time."""
    images = file["posterior/image"].isel(chain=0).isel(channel=channel, missing_dims="ignore")
    for k in range(images.sizes["draw"]):
        yield place(file, images.isel(draw=k).values, native)


def spread(draws: Iterator[Volume], count: int) -> Volume:
    """Return the standard deviation of draws by Welford's update; NaN of a single one."""
    mean = squares = np.zeros(())
    for k, image in enumerate(draws):
        step = image - mean
        mean = mean + step / (k + 1)
        squares = squares + step * (image - mean)
    return np.sqrt(squares / (count - 1)) if count > 1 else np.full_like(mean, np.nan)
