"""Contents of a posterior file as a report shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from uqrestore.posterior.view import PosteriorFile, images_of, shown_channel

if TYPE_CHECKING:
    import xarray as xr

Volume = Float[np.ndarray, "z y x"]
Images = Float[np.ndarray, "z channel y x"]
TITLES = {
    "truth": "reference",
    "zero_filled": "zero-filled",
    "linear_mmse": "linear MMSE",
    "cg_sense": "CG-SENSE",
    "l1_wavelet": "l1-wavelet",
    "total_variation": "total variation",
    "filtered_back_projection": "filtered back-projection",
}
"""Titles of the images of ``/reference``, in the order of a report."""


@dataclass(frozen=True, eq=False)
class Contents:
    """A posterior file as a report sees it.

    Of complex images maps and draws are magnitudes, and components their part in phase with the
    mean; of other images with several channels all are the first.

    Attributes:
        file: The file.
        provenance: How the file was made.
        scope: Verdict on whether the prior was trained for such scans; None if not stated.
        figures: Numbers that the file states about itself.
        rows: Position in the file of every slice shown.
        slices: Index of every slice shown on the model's grid.
        z: Position of every slice, mm.
        y: Position of every row, mm.
        x: Position of every column, mm.
        affine: Voxel (column, row, slice of the grid) to RAS+ mm.
        valid: Draws that are written, by (draw, slice).
        interval: Name of the level of the pixels' intervals, such as ``88.2 %``.
        interval_level: Exact coverage of an ideal sampler; None where it is not known.
        phase: Phase of the mean, or that of the operator where images are real; None without one.
        maps: ``mean``, ``std``, ``low``, ``high`` (ends of the intervals) and what ``/reference``
            holds.
        component_std: Standard deviation along each component, (component, z).
        explained: Share of the variance along each component.
        mask: Voxels of the object.
        has_mask: True if the file holds the mask; else it is True everywhere.
        noise_std: Noise of the measurement; None if not stated.
        guarantee: Calibrated guarantee about ``guaranteed``, if the file holds one.
        guaranteed: Lower and upper ends of the intervals that keep it.
        missing: What the file lacks, and what to do about it.
    """

    file: PosteriorFile
    provenance: Mapping[str, Any]
    scope: Mapping[str, Any] | None
    figures: Mapping[str, float]
    rows: np.ndarray
    slices: np.ndarray
    z: Float[np.ndarray, " z"]
    y: Float[np.ndarray, " y"]
    x: Float[np.ndarray, " x"]
    affine: Float[np.ndarray, "4 4"]
    valid: Bool[np.ndarray, "draw z"]
    interval: str
    interval_level: float | None
    phase: Volume | None
    maps: Mapping[str, Volume]
    component_std: Float[np.ndarray, "component z"]
    explained: Float[np.ndarray, " component"]
    mask: Bool[np.ndarray, "z y x"]
    has_mask: bool
    noise_std: np.ndarray | None
    guarantee: Mapping[str, Any] | None
    guaranteed: tuple[Volume, Volume] | None
    missing: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    @property
    def unit(self) -> str:
        """Unit of all images."""
        return self.file.unit

    @property
    def planned(self) -> int:
        """Number of draws of the run; a file may keep fewer."""
        node = self.file.tree.children.get("estimate")
        stated = 0 if node is None else int(np.ravel(node.attrs.get("draws", 0))[0])
        return stated or len(self.valid)

    @property
    def draws(self) -> tuple[int, ...]:
        """Draws that are written for every slice shown."""
        return tuple(int(j) for j in np.flatnonzero(self.valid.all(axis=1)))

    @property
    def phase_title(self) -> str:
        """Title of the picture of the phase."""
        return "phase of the mean" if self.file.complex_image else "phase, taken as known"

    @property
    def has_images(self) -> bool:
        """True if there is a slice to show."""
        return self.maps["mean"].size > 0

    @property
    def operator(self) -> str:
        """Registry name of the operator; empty if not stated."""
        node = self.file.tree.children.get("operator")
        return "" if node is None else str(node.attrs.get("class", ""))

    def draw(self, index: int, at: Sequence[int] | slice = slice(None)) -> Volume:
        """Read one draw, of all slices shown or of those at some positions."""
        images = shown_channel(self.file["posterior/image"]).isel(chain=0, draw=index)
        return as_volume(images.isel(z=_compact(self.rows[at])))

    def draw_images(self, index: int, at: Sequence[int] | slice = slice(None)) -> Images:
        """Read one draw with all its channels."""
        images = self.file["posterior/image"].isel(chain=0, draw=index)
        return images_of(images.isel(z=_compact(self.rows[at])))

    def mean_images(self, at: Sequence[int] | slice = slice(None)) -> Images:
        """Read the posterior mean with all its channels; of a partial file that of its draws."""
        if self.file.find("estimate/mmse") is not None:
            return images_of(self.file.variable("mmse").isel(z=_compact(self.rows[at])))
        draws, found = self.file["posterior/image"].isel(chain=0), []
        for k, row in zip(np.arange(len(self.rows))[at], self.rows[at], strict=True):
            written = images_of(draws.isel(z=[int(row)]))[self.valid[:, k]]
            found.append(written.mean(axis=0, dtype=np.float64))
        return np.concatenate(found).astype(np.float32)

    def direction_images(
        self, at: Sequence[int] | slice = slice(None)
    ) -> Float[np.ndarray, "component z channel y x"]:
        """Read the components with all their channels, at some positions of slices shown."""
        if not len(self.component_std):
            shape = (0, len(self.rows[at]), self.file.channels, len(self.y), len(self.x))
            return np.zeros(shape, np.float32)
        pc = self.file.variable("pc").isel(z=_compact(self.rows[at]))
        return images_of(pc.transpose("component", ...))

    def directions(
        self, at: Sequence[int] | slice = slice(None)
    ) -> Float[np.ndarray, "component z y x"]:
        """Read the components, of unit norm in each slice, at some positions of slices shown."""
        if not len(self.component_std):
            return np.zeros((0, len(self.rows[at]), len(self.y), len(self.x)), np.float32)
        return as_volume(self.file.components.isel(z=_compact(self.rows[at])))

    def number(self, place: str) -> float | None:
        """Return the largest of some numbers of the draws, such as their calls; None if missing."""
        values = self.file.find(place)
        return None if values is None or not values.size else float(np.nanmax(values.values))


def as_volume(values: "xr.DataArray") -> np.ndarray:
    """Load a variable as float32."""
    return values.values.astype(np.float32, copy=False)


def _compact(rows: np.ndarray) -> slice | np.ndarray:
    """Return consecutive rows as a slice, which HDF5 reads many times faster."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows
