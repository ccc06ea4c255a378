"""Slices of a scan on the grid of a 2-D model."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from uqrestore.scans.errors import ScanError
from uqrestore.scans.grid import Grid, resample
from uqrestore.scans.memory import check_memory
from uqrestore.scans.placement import Placement
from uqrestore.scans.scan import Scan

SAME_VOXEL_SIZE = 0.02  # relative; a 2 % stretch is below the augmentation of any model here
FARTHEST_RESAMPLED = 30.0  # of pixel sizes; farther apart, one of the two is in another unit
RESAMPLED_BYTES = 24  # a voxel of the new grid: float64 and float32 of voxels and mask


@dataclass(frozen=True, eq=False)
class ModelSlices:
    """A scan cut to the slices a model takes.

    Attributes:
        images: In the file's units; row 0 is posterior, column 0 is left.
        mask: Brain mask on the same pixels.
        placement: Where the slices lie.
        note: What was resampled, padded or cropped, as text.
    """

    images: Float[np.ndarray, "slice 1 row column"]
    mask: Bool[np.ndarray, "slice row column"]
    placement: Placement
    note: str

    def pick(self, count: int | None) -> tuple[int, ...]:
        """Choose slices: ``count`` evenly spread ones, or with None every one with brain.

        The spread runs over the slices whose brain is at least a quarter of the largest, so
        that no slice is wasted on the rim.
        """
        area = self.mask.sum(axis=(1, 2))
        if count is None:
            return tuple(int(k) for k in np.flatnonzero(area))
        full = np.flatnonzero(area >= max(1, area.max() / 4))
        places = (np.arange(count) + 0.5) / max(count, 1) * len(full)
        return tuple(sorted({int(full[int(place)]) for place in places}))


def fit_to_model(
    scan: Scan,
    shape: tuple[int, int] = (64, 64),
    *,
    voxel_size: float | None = None,
    resample: bool = False,
    whole: bool = False,
) -> ModelSlices:
    """Cut a scan into the slices a model takes, centred on the brain.

    Nothing inside the mask is ever cut away, and nothing is interpolated unless asked for.

    Args:
        scan: In patient order.
        shape: The model's rows and columns.
        voxel_size: The model's pixel size in mm; None takes the scan's as it is.
        resample: Allow a change of in-plane pixel size; slices stay where they are.
        whole: Keep slices whole, for a model that takes any size from ``shape`` on; smaller ones
            are padded.

    Raises:
        ScanError: If the pixel size differs and ``resample`` is off, or if the brain is larger
            than the model's field of view.
    """
    working = scan.grid
    if voxel_size is not None and not _same(scan.spacing[:2], voxel_size):
        if not resample:
            raise ScanError(
                f"{scan.source.name}: its pixels are {scan.spacing[0]:.3g} x "
                f"{scan.spacing[1]:.3g} mm but the model's are {voxel_size:g} mm; pass --resample "
                "to change the scan's grid, or choose a model of that pixel size."
            )
        working = _resampled_grid(scan, voxel_size)
    voxels, mask = _on(working, scan)
    if whole:
        columns, rows = working.shape[:2]
        shape = (max(rows, shape[0]), max(columns, shape[1]))
    offset, cut = _centred(mask, shape)
    if cut:
        millimetres = [n * s for n, s in zip(_extent(mask), working.spacing, strict=False)]
        field = [n * s for n, s in zip(reversed(shape), working.spacing, strict=False)]
        raise ScanError(
            f"{scan.source.name}: its brain region is {millimetres[0]:.0f} x "
            f"{millimetres[1]:.0f} mm but the model sees {field[0]:.0f} x {field[1]:.0f} mm; "
            f"{_mask_hint(scan)}choose a model of larger pixels or of windows."
        )
    placement = Placement(
        model=working.shifted((*offset, 0), (shape[1], shape[0], working.shape[2])),
        working=working,
        scan=scan.grid,
        native=scan.native,
        orientation=scan.orientation,
        offset=offset,
        space_code=scan.source.space_code,
        source_format=scan.source.format,
    )
    volume = placement.to_model(voxels, fill=float(scan.voxels.min()))
    inside = placement.to_model(mask, fill=False)
    return ModelSlices(
        images=np.ascontiguousarray(volume.transpose(2, 1, 0)[:, None]),
        mask=np.ascontiguousarray(inside.transpose(2, 1, 0)),
        placement=placement,
        note=_grid_note(placement),
    )


def _same(spacing: tuple[float, ...], voxel_size: float) -> bool:
    return all(abs(s / voxel_size - 1) <= SAME_VOXEL_SIZE for s in spacing)


def _mask_hint(scan: Scan) -> str:
    """Return what a mask could do: nothing for k-space, or where one was given."""
    if scan.source.given_mask or scan.source.format == "k-space":
        return ""
    return "give a mask of the brain alone if the skull is in the image, or "


def _resampled_grid(scan: Scan, voxel_size: float) -> Grid:
    """Return the grid of the wanted pixel size with the same centre and the same slices.

    Raises:
        ScanError: If no scan of that unit can be meant, or the grid exceeds the memory.
    """
    grid, name = scan.grid, scan.source.name
    if max(max(s / voxel_size, voxel_size / s) for s in grid.spacing[:2]) > FARTHEST_RESAMPLED:
        raise ScanError(
            f"{name}: its pixels are {grid.spacing[0]:.3g} x {grid.spacing[1]:.3g} mm, too far "
            f"from the model's {voxel_size:g} mm to be resampled; check the unit in its header."
        )
    factors = [voxel_size / grid.spacing[0], voxel_size / grid.spacing[1], 1.0]
    columns, rows = (
        max(1, int(np.ceil(grid.shape[axis] / factors[axis] - 1e-6))) for axis in (0, 1)
    )
    shape = (columns, rows, grid.shape[2])
    check_memory(RESAMPLED_BYTES * int(np.prod(shape)), name, f"resampling to {shape} voxels")
    start = [((grid.shape[a] - 1) - (shape[a] - 1) * factors[a]) / 2 for a in range(3)]
    affine = grid.affine.copy()
    affine[:3, :3] *= factors
    affine[:3, 3] = grid.position(np.asarray(start))
    return Grid(shape, affine)


def _on(working: Grid, scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    if working is scan.grid:
        return scan.voxels, scan.mask
    voxels = resample(scan.voxels.astype(np.float64), scan.grid, working).astype(np.float32)
    return voxels, resample(scan.mask.astype(np.float64), scan.grid, working) >= 0.5


def _extent(mask: np.ndarray) -> tuple[int, int]:
    columns, rows = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def _centred(mask: np.ndarray, shape: tuple[int, int]) -> tuple[tuple[int, int], bool]:
    """Put the brain's centre of mass in the middle, then move only as far as its rim needs.

    An axis that has the model's size already stays as it is.
    """
    offsets, cut = [], False
    for axis, size in ((0, shape[1]), (1, shape[0])):
        if mask.shape[axis] == size:
            offsets.append(0)
            continue
        profile = mask.sum(axis=tuple({0, 1, 2} - {axis}))
        inside = np.flatnonzero(profile)
        centre = float((profile * np.arange(len(profile))).sum() / profile.sum())
        offset = round(centre - (size - 1) / 2)
        lowest, highest = int(inside[-1]) + 1 - size, int(inside[0])
        cut |= lowest > highest
        offsets.append(min(max(offset, lowest), highest))
    return (offsets[0], offsets[1]), cut


def _grid_note(placement: Placement) -> str:
    """Return what was done to the grid, as text for the terminal and the file."""
    done = []
    if placement.resampled:
        old, new = placement.scan.spacing, placement.working.spacing
        done.append(
            f"resampled in plane from {old[0]:.3g} x {old[1]:.3g} mm "
            f"to {new[0]:.3g} x {new[1]:.3g} mm"
        )
    for axis, name in ((0, "columns"), (1, "rows")):
        before = placement.offset[axis]
        after = placement.working.shape[axis] - before - placement.model.shape[axis]
        cropped = (max(0, before), max(0, after))
        padded = (max(0, -before), max(0, -after))
        if any(cropped):
            done.append(f"{cropped[0]} + {cropped[1]} {name} without brain cropped")
        if any(padded):
            done.append(f"{padded[0]} + {padded[1]} {name} padded")
    return "; ".join(done) or "the scan's own grid, unchanged"
