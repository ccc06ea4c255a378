"""Voxel grids in patient space: affine, orientation, resampling."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

SIDES = ("RL", "AP", "SI")
"""Towards, and away from, right, anterior and superior."""
OPPOSITE = {a: b for pair in SIDES for a, b in (pair, pair[::-1])}
Shape3 = tuple[int, int, int]
Affine = Float[np.ndarray, "4 4"]


@dataclass(frozen=True, eq=False)
class Grid:
    """A box of voxels in space.

    Attributes:
        shape: Number of voxels along the three array axes.
        affine: Maps a voxel index ``(i, j, k, 1)`` to millimetres, x to the patient's right,
            y to anterior, z to superior (RAS+); the voxel's centre, as in NIfTI.

    Raises:
        ValueError: If the affine is not finite, has a zero column or is singular.
    """

    shape: Shape3
    affine: Affine

    def __post_init__(self) -> None:
        fault = affine_fault(self.affine)
        if fault:
            raise ValueError(f"{fault}; voxels need a place in space to be restored.")

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each array axis, in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(x), float(y), float(z))

    @property
    def tilt(self) -> float:
        """Largest angle between an array axis and the patient axis nearest to it, in degrees."""
        directions = self.affine[:3, :3] / np.asarray(self.spacing)
        nearest = np.abs(directions).max(axis=0)
        return float(np.degrees(np.arccos(np.clip(nearest.min(), -1, 1))))

    @property
    def directions(self) -> str:
        """Patient direction nearest to each array axis: of R, L, A, P, S and I, such as ``RAS``."""
        axes = nearest_ras(self.affine)
        letters = {
            a: pair[flip] for a, pair, flip in zip(axes.axes, SIDES, axes.flips, strict=True)
        }
        return "".join(letters[a] for a in range(3))

    def position(self, index: Shaped[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Return the place of voxels (fractions allowed) in mm."""
        return index @ self.affine[:3, :3].T + self.affine[:3, 3]

    def coordinates(self, axis: int) -> Float[np.ndarray, " voxel"]:
        """Return the mm coordinate of every voxel along one array axis.

        The coordinate runs along the (unit) axis and counts from the scanner's origin: for a
        grid that is not tilted it is the patient coordinate itself.
        """
        step = self.spacing[axis]
        start = float(self.affine[:3, 3] @ (self.affine[:3, axis] / step))
        return start + step * np.arange(self.shape[axis], dtype=np.float64)

    def shifted(self, offset: Shape3, shape: Shape3) -> "Grid":
        """Return the grid whose voxel 0 is at index ``offset`` of this one."""
        affine = self.affine.copy()
        affine[:3, 3] = self.position(np.asarray(offset, np.float64))
        return Grid(shape, affine)

    def sampled(self, shape: Shape3) -> "Grid":
        """Return the grid of another number of voxels over the same field of view.

        The voxel ``n // 2`` of every axis stays where it is, as in a discrete Fourier transform.
        """
        old, new = np.asarray(self.shape), np.asarray(shape)
        affine = self.affine.copy()
        affine[:3, :3] *= old / new
        affine[:3, 3] = self.position(old // 2) - affine[:3, :3] @ (new // 2)
        return Grid(shape, affine)

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"shape": list(self.shape), "affine": self.affine.tolist()}

    @staticmethod
    def from_data(data: dict[str, Any]) -> "Grid":
        """Rebuild a grid from :meth:`to_data`."""
        x, y, z = (int(n) for n in data["shape"])
        return Grid((x, y, z), np.asarray(data["affine"], np.float64))


def affine_fault(affine: Shaped[np.ndarray, "4 4"]) -> str | None:
    """Return why an affine places no voxels, or None.

    Singular is judged relative to the spacing: the volume of a voxel against the volume of the
    box of its three edges.
    """
    if not np.isfinite(affine).all():
        return "the affine holds NaN or infinite numbers"
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if (spacing == 0).any():
        axis = "ijk"[int(np.argmin(spacing))]
        return f"the affine gives voxels no size along array axis {axis}"
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-4:
        return "the affine is singular: its axes lie in one plane"
    return None


@dataclass(frozen=True)
class Orientation:
    """Permutation and flips that turn a file's axes to those of the patient; no arithmetic.

    Attributes:
        axes: Entry ``a`` is the file's axis that becomes axis ``a`` of the result.
        flips: Whether axis ``a`` of the result runs against the file's.
    """

    axes: Shape3
    flips: tuple[bool, bool, bool]

    def apply(self, voxels: Shaped[np.ndarray, "_ _ _"]) -> Shaped[np.ndarray, "_ _ _"]:
        """Turn an array in the file's order into patient order."""
        return np.flip(voxels.transpose(self.axes), self._flipped)

    def undo(self, voxels: Shaped[np.ndarray, "_ _ _"]) -> Shaped[np.ndarray, "_ _ _"]:
        """Turn an array in patient order back into the file's."""
        return np.flip(voxels, self._flipped).transpose(np.argsort(self.axes))

    def apply_to_grid(self, grid: Grid) -> Grid:
        """Return the same box of voxels, indexed in patient order."""
        to_file = np.zeros((4, 4))
        to_file[3, 3] = 1
        for a, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            to_file[axis, a] = -1 if flip else 1
            to_file[axis, 3] = grid.shape[axis] - 1 if flip else 0
        x, y, z = (grid.shape[axis] for axis in self.axes)
        return Grid((x, y, z), grid.affine @ to_file)

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(a for a, flip in enumerate(self.flips) if flip)


def nearest_ras(affine: Affine) -> Orientation:
    """Find the permutation and flips that bring an affine nearest to right, anterior, superior.

    Of the six assignments of array axes to patient axes the one with the largest sum of
    cosines is taken, which stays well defined for oblique and sheared affines.
    """
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    best = max(
        itertools.permutations(range(3)),
        key=lambda axes: sum(abs(cosines[a, axis]) for a, axis in enumerate(axes)),
    )
    flips = [bool(cosines[a, axis] < 0) for a, axis in enumerate(best)]
    return Orientation((best[0], best[1], best[2]), (flips[0], flips[1], flips[2]))


def nearest_with_slices(affine: Affine, slices: int) -> Orientation:
    """Find the permutation and flips that turn an array to patient axes, its slices kept whole.

    The slice axis becomes the last one, whichever way it points; the axes of the plane follow in
    the order right, anterior, superior. Axial slices are in RAS order, sagittal ones in ASR,
    coronal ones in RSA.

    Args:
        affine: Voxel index to millimetres, RAS+.
        slices: Array axis along which slices follow one another.
    """
    ras = nearest_ras(affine)
    order = sorted(range(3), key=lambda a: ras.axes[a] == slices)  # stable
    a, b, c = order
    return Orientation(
        (ras.axes[a], ras.axes[b], ras.axes[c]), (ras.flips[a], ras.flips[b], ras.flips[c])
    )


def resample(
    voxels: Float[np.ndarray, "_ _ _"], source: Grid, target: Grid
) -> Float[np.ndarray, "_ _ _"]:
    """Bring voxels from one grid to another whose axes point the same way.

    Along an axis that gets coarser a new voxel is the mean over its own extent (the camera
    averages over a pixel); along one that gets finer, linear interpolation. Outside the source
    the nearest edge voxel continues.

    Args:
        voxels: Values on ``source``.
        source: Grid of ``voxels``.
        target: Grid wanted; parallel to ``source``.

    Returns:
        Values on ``target``.

    Raises:
        ValueError: If the grids are not parallel: such a change needs a 3-D interpolation.
    """
    direction = source.affine[:3, :3] / np.asarray(source.spacing)
    if not np.allclose(direction, target.affine[:3, :3] / np.asarray(target.spacing), atol=1e-5):
        raise ValueError("resample needs grids whose axes point the same way; reorient first.")
    start = np.linalg.solve(source.affine[:3, :3], target.affine[:3, 3] - source.affine[:3, 3])
    for axis in range(3):
        step = target.spacing[axis] / source.spacing[axis]
        if step == 1 and abs(start[axis]) < 1e-9 and source.shape[axis] == target.shape[axis]:
            continue
        weights = _axis_weights(source.shape[axis], target.shape[axis], start[axis], step)
        voxels = np.moveaxis(np.tensordot(weights, voxels, (1, axis)), 0, axis)
    return voxels


def _axis_weights(
    n_source: int, n_target: int, start: float, step: float
) -> Float[np.ndarray, "target source"]:
    """Return rows that sum to 1; ``start`` and ``step`` are in source voxels."""
    centre = start + step * np.arange(n_target)
    if step <= 1:
        place = np.clip(centre, 0, n_source - 1)
        distance = np.abs(place[:, None] - np.arange(n_source))
        return np.maximum(0, 1 - distance)
    last = n_source - 0.5
    low = np.clip(centre - step / 2, -0.5, last)
    high = np.clip(centre + step / 2, -0.5, last)
    edge = np.arange(n_source) - 0.5
    overlap = np.minimum(high[:, None], edge + 1) - np.maximum(low[:, None], edge)
    weights = np.maximum(overlap, 0)
    outside = weights.sum(axis=1) == 0
    weights[outside, np.where(centre[outside] < 0, 0, n_source - 1)] = 1
    return weights / weights.sum(axis=1, keepdims=True)
