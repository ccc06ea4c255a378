"""Scan in memory: voxels in patient order, grid, mask, intensity scale and source."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Shaped

from uqrestore.scans.background import foreground
from uqrestore.scans.errors import ScanError
from uqrestore.scans.grid import (
    Affine,
    Grid,
    Orientation,
    affine_fault,
    nearest_ras,
    nearest_with_slices,
)
from uqrestore.scans.source import Source, identify

Values = TypeVar("Values")  # a float, a numpy array or a torch tensor

BRIGHT_PERCENTILE = 99.9  # inside the mask; a few bright vessels must not set the scale
BETWEEN = 0.05  # share of darker tissue from which a background is not the darkest value


@dataclass(frozen=True)
class Intensity:
    r"""The affine map between a file's units and the network's :math:`[-1, 1]`.

    .. math:: x_{file} = shift + scale \cdot x_{net}

    A measurement therefore maps as :math:`y_{net} = (y - A(shift)) / scale`, and a standard
    deviation is scaled, never shifted.

    Attributes:
        shift: In the file's units.
        scale: In the file's units; positive.
        unit: Name of the file's unit; ``"a.u."`` where it has none.
    """

    shift: float
    scale: float
    unit: str = "a.u."

    def __post_init__(self) -> None:
        if not (np.isfinite(self.shift) and np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(
                f"an intensity needs a finite shift and a scale above 0 but got "
                f"shift={self.shift}, scale={self.scale}."
            )

    @staticmethod
    def from_range(low: float, high: float, unit: str = "a.u.") -> "Intensity":
        """Map ``low`` to -1 and ``high`` to 1."""
        return Intensity((high + low) / 2, (high - low) / 2, unit)

    def of_complex(self) -> "Intensity":
        """Return the map of complex images of this brightness: zero stays, the brightest is 1."""
        return Intensity(0.0, self.shift + self.scale, self.unit)

    def to_network(self, x: Values) -> Values:
        """Bring image values from the file's units to the network's."""
        return (x - self.shift) / self.scale  # type: ignore[operator]

    def to_file(self, x: Values) -> Values:
        """Bring image values from the network's units to the file's."""
        return x * self.scale + self.shift  # type: ignore[operator]

    def std_to_network(self, std: Values) -> Values:
        """Bring a standard deviation (of an image or of noise) to the network's units."""
        return std / self.scale  # type: ignore[operator]

    def std_to_file(self, std: Values) -> Values:
        """Bring a standard deviation from the network's units to the file's."""
        return std * self.scale  # type: ignore[operator]

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"shift": self.shift, "scale": self.scale, "unit": self.unit}


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan in patient order: axis 0 to the right, 1 to anterior, 2 to superior.

    Raw data keep their slices: axis 2 is that of the slices, and the plane of sagittal ones runs
    to anterior and superior, that of coronal ones to the right and superior.

    Attributes:
        voxels: Values in the file's units.
        affine: Voxel index to millimetres, RAS+.
        mask: Where the brain (or the object) is.
        intensity: Map between the file's units and the network's.
        source: Where the scan came from.
        native: The grid as it stands in the file.
        orientation: Turn from the file's axes to patient axes.
    """

    voxels: Float[np.ndarray, "x y z"]
    affine: Affine
    mask: Bool[np.ndarray, "x y z"]
    intensity: Intensity
    source: Source
    native: Grid
    orientation: Orientation

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        return self.grid.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm."""
        return self.grid.spacing

    @cached_property
    def grid(self) -> Grid:
        """Place of the voxels."""
        x, y, z = self.voxels.shape
        return Grid((x, y, z), self.affine)

    @cached_property
    def key(self) -> int:
        """First eight bytes of the SHA-256 of voxels and affine, for ``SampleNoise(scan=...)``.

        The name of the file, its header's other fields and its compression do not matter.
        """
        digest = hashlib.sha256(np.asarray(self.voxels.shape, "<i8").tobytes())
        digest.update(np.ascontiguousarray(self.voxels, "<f4").tobytes())
        digest.update((self.affine + 0.0).astype("<f8").tobytes())  # + 0.0: no negative zero
        return int.from_bytes(digest.digest()[:8], "little")

    @property
    def identity(self) -> str:
        """Identifier of the input: file hash and read options, or the key of an array."""
        source = self.source
        if not source.sha256:
            return f"key {self.key:016x}"
        return identify(
            source.sha256,
            source.mask_sha256,
            source.volume,
            source.noise_std,
            source.coils,
            source.kept_sha256,
        )

    def strip(self) -> "Scan":
        """Return the scan with everything outside the mask set to its darkest value."""
        voxels = np.where(self.mask, self.voxels, self.voxels.min())
        return replace(self, voxels=voxels)


def scan_from_array(
    voxels: Shaped[np.ndarray, "_ _ _"],
    affine: Shaped[np.ndarray, "4 4"],
    *,
    source: Source,
    mask: Shaped[np.ndarray, "_ _ _"] | None = None,
    unit: str = "a.u.",
    slices: int | None = None,
) -> Scan:
    """Check an array, turn it to patient order and find its mask and intensity.

    Args:
        voxels: Any real dtype, any axis order. Outside the mask, or in a background of NaN, they
            may be NaN and become the darkest value.
        affine: Voxel index to millimetres, RAS+.
        source: Named in every error message.
        mask: Brain mask on the same grid, above zero inside. Without one it is where a
            skull-stripped scan differs from its background, holes filled.
        unit: Unit of the voxel values.
        slices: Array axis of the slices of raw data, which stay whole; None for images, whose
            slices are axial.

    Raises:
        ScanError: For NaN or infinite voxels in the brain, a constant volume, a zero or singular
            affine, a mask of another shape or an empty one.
    """
    name = source.name
    fault = affine_fault(np.asarray(affine, np.float64))
    if fault:
        raise ScanError(f"{name}: {fault}; set its sform or qform and try again.")
    if voxels.size == 0:
        raise ScanError(f"{name}: holds no voxels (shape {voxels.shape}); export it again.")
    values = _float32(voxels, name)
    inside = foreground(values) if mask is None else _checked_mask(mask, voxels.shape, name)
    values, filled = _finite(values, inside, name)
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise ScanError(
            f"{name}: every voxel is {low:g}; a constant volume holds nothing to "
            "restore. Is this the right file?"
        )
    darkened = ""
    if mask is None:
        values, darkened = _dark_background(values, inside, low)
    high = float(np.percentile(values[inside], BRIGHT_PERCENTILE))
    if not high > low:
        raise ScanError(
            f"{name}: inside the mask the brightest value is {high:g}, the darkest value of the "
            "scan; does the mask belong to this scan?"
        )
    native = Grid(voxels.shape, np.asarray(affine, np.float64))
    affine = native.affine
    orientation = nearest_ras(affine) if slices is None else nearest_with_slices(affine, slices)
    return Scan(
        voxels=np.ascontiguousarray(orientation.apply(values)),
        affine=orientation.apply_to_grid(native).affine,
        mask=np.ascontiguousarray(orientation.apply(inside)),
        intensity=Intensity.from_range(low, high, unit),
        source=replace(
            source, given_mask=mask is not None, note=join_notes(source.note, filled, darkened)
        ),
        native=native,
        orientation=orientation,
    )


def join_notes(*notes: str) -> str:
    """Join the notes of a source that are not empty."""
    return "; ".join(note for note in notes if note)


def _float32(voxels: np.ndarray, name: str) -> np.ndarray:
    if voxels.dtype.kind not in "fiub":
        raise ScanError(
            f"{name}: voxels are of type {voxels.dtype}, not real numbers; export one grey "
            "value per voxel (for complex data, the magnitude)."
        )
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 they become infinite
        return voxels.astype(np.float32)


def _finite(values: np.ndarray, inside: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """Give voxels outside the mask that are no numbers the darkest value, and note how many."""
    bad = ~np.isfinite(values)
    if not bad.any():
        return values, ""
    lost = bad if bad.all() else bad & inside
    if lost.any():
        first = tuple(int(i) for i in np.argwhere(lost)[0])
        raise ScanError(
            f"{name}: {int(lost.sum())} of {bad.size} voxels are NaN or infinite, the first at "
            f"{first}; replace them by 0 where there is no tissue, or repair the scan."
        )
    note = f"{int(bad.sum())} voxels outside the mask are NaN or infinite, set to the darkest value"
    return np.where(bad, values[~bad].min(), values), note


def _dark_background(values: np.ndarray, inside: np.ndarray, low: float) -> tuple[np.ndarray, str]:
    """Darken a background that lies between the values of the tissue, as after z-scoring.

    Priors know tissue on a background darker than itself.
    """
    outside = values[~inside]
    if not outside.size or float((values[inside] < outside.min()).mean()) < BETWEEN:
        return values, ""
    note = f"background of {outside.min():g} set to the darkest value, {low:g}"
    return np.where(inside, values, np.float32(low)), note


def _checked_mask(mask: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if mask.shape != shape:
        raise ScanError(
            f"{name}: the scan has shape {shape} but its mask {mask.shape}; give a mask on the "
            "scan's own grid."
        )
    inside = mask > 0
    if not inside.any():
        raise ScanError(f"{name}: the mask is empty; give one that covers the brain.")
    return inside
