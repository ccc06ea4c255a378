"""Place of a model's slices on the grid of the scan's file: every change of grid is reversible."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from uqrestore.scans.grid import Grid, Orientation, resample


@dataclass(frozen=True, eq=False)
class Placement:
    """Position of a model's slices on the scan's grid, so that every change is reversible.

    A model's voxel ``(i, j, k)`` is voxel ``(i + offset[0], j + offset[1], k)`` of ``working``,
    which is the scan's own grid in patient order, or a resampled one where that was asked for.

    Attributes:
        model: Grid of the restored volume, indexed (x, y, z).
        working: Grid the model's was cut from.
        scan: The scan's own grid in patient order.
        native: The scan's grid as in its file.
        orientation: Turn from ``native`` to ``scan``.
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
            fill: Value outside the model's grid.
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


def _resample_known(values: np.ndarray, source: Grid, target: Grid, fill: float) -> np.ndarray:
    """Resample; ``fill`` wherever any of the voxels needed is not known."""
    known = np.isfinite(values) if np.isnan(fill) else values != fill
    filled = np.where(known, values, 0).astype(np.float64)
    result = resample(filled, source, target)
    trusted = resample(known.astype(np.float64), source, target) > 1 - 1e-9
    return np.where(trusted, result, fill).astype(values.dtype)
