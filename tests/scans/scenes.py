"""Small scans for tests: a brain-like blob in a box, on any affine."""

import numpy as np
from hypothesis import strategies as st

from uqrestore.scans import Scan, Source, scan_from_array


def blob(shape: tuple[int, int, int] = (13, 15, 9), seed: int = 0) -> np.ndarray:
    """Return an ellipsoid of 60 to 100 units in a background of zeros."""
    axes = np.meshgrid(*(np.linspace(-1.3, 1.3, n) for n in shape), indexing="ij")
    inside = sum(a**2 for a in axes) < 1
    noise = np.random.default_rng(seed).uniform(60, 100, shape)
    return np.where(inside, noise, 0).astype(np.float32)


def scan(voxels: np.ndarray | None = None, affine: np.ndarray | None = None) -> Scan:
    """Return a scan of the blob, 3 mm by default."""
    voxels = blob() if voxels is None else voxels
    affine = np.diag([3.0, 3.0, 3.0, 1.0]) if affine is None else affine
    return scan_from_array(voxels, affine, source=Source("blob.nii.gz", "NIfTI"))


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """Return the rotation by three angles (radians) about x, y, z."""
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        i, j = [a for a in range(3) if a != axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Draw an oblique, flipped, permuted, anisotropic affine."""
    angle = st.floats(-0.6, 0.6)
    spacing = [draw(st.floats(0.3, 6.0)) for _ in range(3)]
    flips = [draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)]
    axes = draw(st.permutations(range(3)))
    matrix = rotation((draw(angle), draw(angle), draw(angle)))[:, axes] * flips * spacing
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = [draw(st.floats(-200, 200)) for _ in range(3)]
    return affine
