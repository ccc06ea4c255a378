"""Background of a scan, found from the rim of its volume rather than assumed to be zero."""

import numpy as np
from jaxtyping import Bool, Shaped

UNIFORM = 0.5
"""Share of a face of the volume that one value must have to be the background."""


def background(voxels: Shaped[np.ndarray, "_ _ _"]) -> float | None:
    """Return the commonest value of the most uniform face, or None if no value dominates there.

    Of a skull-stripped scan it is what was written outside the brain, whatever its value: zero,
    the lowest value after z-scoring, a value between those of the tissue, or NaN.

    Args:
        voxels: Any real values; NaN counts as one value.
    """
    faces = [
        voxels.take(end, axis).ravel() for axis in range(3) for end in (0, -1)
        if voxels.shape[axis] > 1
    ]  # fmt: skip
    share, value = max((_commonest(face) for face in faces), default=(0.0, 0.0), key=lambda f: f[0])
    return value if share > UNIFORM else None


def foreground(voxels: Shaped[np.ndarray, "_ _ _"]) -> Bool[np.ndarray, "_ _ _"]:
    """Return where a skull-stripped scan holds tissue, with enclosed holes (dark ventricles).

    Without a dominant background, as in a scan with noise in the air, it is everything above the
    darkest value.
    """
    from scipy.ndimage import binary_fill_holes

    value = background(voxels)
    if value is None:
        tissue = voxels > np.nanmin(voxels)
    else:
        tissue = ~np.isnan(voxels) if np.isnan(value) else voxels != value
    return np.asarray(binary_fill_holes(tissue), dtype=bool)


def _commonest(values: Shaped[np.ndarray, " _"]) -> tuple[float, float]:
    """Return the share of the commonest value, and the value."""
    found, counts = np.unique(values, return_counts=True)  # NaNs are one value
    k = int(np.argmax(counts))
    return float(counts[k] / len(values)), float(found[k])
