"""Small pictures inside a page, as data of their own."""

import base64
import io

import numpy as np
from jaxtyping import Bool, Float

OUTLINE = (0.9, 0.5, 0.0, 1.0)


def picture(
    image: Float[np.ndarray, "y x"],
    colours: str,
    low: float,
    high: float,
    outlined: Bool[np.ndarray, "y x"] | None = None,
    zoom: int = 1,
) -> str:
    """Return a PNG as the address of an image.

    Args:
        image: Row 0 is posterior and comes last on the screen.
        colours: Colour map of matplotlib.
        low: Value of its first colour.
        high: Value of its last.
        outlined: Pixels around which a line is drawn.
        zoom: Pixels of the picture along a side of one of the image.
    """
    import matplotlib
    from matplotlib.image import imsave
    from scipy.ndimage import binary_erosion

    scaled = np.clip((image - low) / ((high - low) or 1.0), 0, 1)
    shown = matplotlib.colormaps[colours](np.kron(scaled, np.ones((zoom, zoom))))
    if outlined is not None:
        inside = np.kron(outlined, np.ones((zoom, zoom), bool))
        shown[inside & ~binary_erosion(inside, border_value=1)] = OUTLINE
    buffer = io.BytesIO()
    imsave(buffer, shown[::-1], format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
