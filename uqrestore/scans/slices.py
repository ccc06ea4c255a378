"""Slices of a scan as a 2-D model wants them, and the way back to the file's own grid."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from uqrestore.scans.errors import ScanError
from uqrestore.scans.grid import Grid, Orientation, resample
from uqrestore.scans.scan import Scan

SAME_VOXEL_SIZE = 0.02  # relative; a 2 % stretch is below the augmentation of any model here


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a model's slices lie: the record that makes every change of grid reversible.

    A model's voxel ``(i, j, k)`` is voxel ``(i + offset[0], j + offset[1], k)`` of ``working``,
    which is the scan's own grid in patient order, or a resampled one where that was asked for.

    Attributes:
        model: Grid of the restored volume, indexed (x, y, z).
        working: Grid the model's was cut from.
        scan: The scan's own grid in patient order.
        native: The scan's grid as in its file.
        orientation: How ``native`` became ``scan``.
        offset: First column and row of the model's grid on the working one; negative = padded.
        space_code: NIfTI code of the space of the affines.
        source_format: ``"NIfTI"``, ``"DICOM"`` or ``"none"``.
    """

    model: Grid
    working: Grid
    scan: Grid
    native: Grid
    orientation: Orientation
    offset: tuple[int, int]
    space_code: int = 1
    source_format: str = "none"

    @property
    def resampled(self) -> bool:
        """Whether values were interpolated, so that the way back is not exact."""
        return self.working is not self.scan

    def to_model(
        self, volume: Shaped[np.ndarray, "_ _ _"], *, fill: float | bool
    ) -> Shaped[np.ndarray, "_ _ _"]:
        """Cut a volume on the working grid to the model's, ``fill`` where there is none."""
        model = np.full(self.model.shape, fill, volume.dtype)
        on_model, on_working = self._overlap()
        model[on_model] = volume[on_working]
        return model

    def to_native(
        self, volume: Float[np.ndarray, "_ _ _"], *, fill: float = float("nan")
    ) -> Float[np.ndarray, "_ _ _"]:
        """Bring a volume on the model's grid to the file's grid and axis order.

        Without resampling every value arrives unchanged. With it values are interpolated, and
        ``fill`` spreads to every voxel that would need one outside the model's grid.

        Args:
            volume: Indexed (x, y, z) on the model's grid.
            fill: Value where the model says nothing.
        """
        working = np.full(self.working.shape, fill, volume.dtype)
        on_model, on_working = self._overlap()
        working[on_working] = volume[on_model]
        if self.resampled:
            working = _resample_known(working, self.working, self.scan, fill)
        return self.orientation.undo(working)

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "model": self.model.to_data(),
            "working": self.working.to_data(),
            "scan": self.scan.to_data(),
            "native": self.native.to_data(),
            "axes": list(self.orientation.axes),
            "flips": list(self.orientation.flips),
            "offset": list(self.offset),
            "resampled": self.resampled,
            "space_code": self.space_code,
            "source_format": self.source_format,
        }

    @staticmethod
    def from_data(data: dict[str, Any]) -> "Placement":
        """Rebuild a placement from :meth:`to_data`."""
        scan = Grid.from_data(data["scan"])
        a, b, c = data["axes"]
        p, q, r = data["flips"]
        return Placement(
            model=Grid.from_data(data["model"]),
            working=Grid.from_data(data["working"]) if data["resampled"] else scan,
            scan=scan,
            native=Grid.from_data(data["native"]),
            orientation=Orientation((a, b, c), (p, q, r)),
            offset=(data["offset"][0], data["offset"][1]),
            space_code=data["space_code"],
            source_format=data["source_format"],
        )

    def _overlap(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        on_model, on_working = [], []
        for axis, offset in enumerate(self.offset):
            start = max(0, offset)
            stop = min(self.working.shape[axis], offset + self.model.shape[axis])
            on_working.append(slice(start, stop))
            on_model.append(slice(start - offset, stop - offset))
        return (on_model[0], on_model[1]), (on_working[0], on_working[1])


@dataclass(frozen=True, eq=False)
class ModelSlices:
    """A scan cut to the slices a model takes.

    Attributes:
        images: In the file's units; row 0 is posterior, column 0 is left.
        mask: Brain mask on the same pixels.
        placement: Where the slices lie.
        note: What was resampled, padded or cropped, in words.
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
        working = _coarser(scan.grid, voxel_size)
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
            f"{millimetres[1]:.0f} mm but the model sees {field[0]:.0f} x {field[1]:.0f} mm; give "
            "a brain mask (--mask) if the skull is in the image, or choose a model of larger "
            "pixels or of windows."
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
        note=_words(placement),
    )


def _same(spacing: tuple[float, ...], voxel_size: float) -> bool:
    return all(abs(s / voxel_size - 1) <= SAME_VOXEL_SIZE for s in spacing)


def _coarser(grid: Grid, voxel_size: float) -> Grid:
    """Return the grid of the wanted pixel size with the same centre and the same slices."""
    factors = [voxel_size / grid.spacing[0], voxel_size / grid.spacing[1], 1.0]
    columns, rows = (
        max(1, int(np.ceil(grid.shape[axis] / factors[axis] - 1e-6))) for axis in (0, 1)
    )
    shape = (columns, rows, grid.shape[2])
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


def _resample_known(values: np.ndarray, source: Grid, target: Grid, fill: float) -> np.ndarray:
    """Resample; ``fill`` wherever any of the voxels needed is not known."""
    known = np.isfinite(values) if np.isnan(fill) else values != fill
    filled = np.where(known, values, 0).astype(np.float64)
    result = resample(filled, source, target)
    trusted = resample(known.astype(np.float64), source, target) > 1 - 1e-9
    return np.where(trusted, result, fill).astype(values.dtype)


def _words(placement: Placement) -> str:
    """Say what was done to the grid, for the terminal and the file."""
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
