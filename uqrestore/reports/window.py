"""Display windows: the values shown as black and white, for every picture of the package."""

import numpy as np
from jaxtyping import Bool, Float

PERCENTILE = 99.5
"""Of what is shown: a few bright pixels must not set the scale."""
DARK_PERCENTILE = 1.0


def grey_window(
    image: Float[np.ndarray, "..."], mask: Bool[np.ndarray, "..."] | None = None
) -> tuple[float, float]:
    """Return the window of grey images: from the background to the bright tissue of the mask."""
    low = float(np.percentile(image, DARK_PERCENTILE))
    inside = image if mask is None or not mask.any() else image[mask]
    high = float(np.percentile(inside, PERCENTILE))
    return low, high if high > low else low + (abs(low) or 1.0)


def top_of(values: Float[np.ndarray, "..."]) -> float:
    """Return the upper end of a scale that begins at zero; 1 where all is zero."""
    return float(np.percentile(np.abs(values), PERCENTILE)) or 1.0 if values.size else 1.0
