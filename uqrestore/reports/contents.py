"""What a report shows of a posterior file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from uqrestore.posterior._hdf5 import dimensions, reading

Volume = Float[np.ndarray, "z y x"]
TITLES = {"truth": "truth", "zero_filled": "zero-filled", "linear_mmse": "linear MMSE"}


@dataclass(frozen=True, eq=False)
class Contents:
    """A posterior file as a report sees it; of images with several channels, the first.

    Attributes:
        path: The file.
        root: Attributes of the root, as text.
        provenance: How the file came about.
        scope: Verdict on whether the prior was made for such scans; None if not stated.
        figures: Numbers that the file states about itself.
        z: Position of every slice, mm.
        y: Position of every row, mm.
        x: Position of every column, mm.
        slices: Index of every slice on the model's grid.
        affine: Voxel (column, row, slice of the grid) to RAS+ mm.
        unit: Of all images.
        planned: Draws the run will make.
        valid: Draws that are written, by (draw, slice).
        interval: Name of the level of the pixels' intervals, such as ``88.2 %``.
        interval_level: Exact coverage of an ideal sampler; None where it is not known.
        maps: ``mean``, ``std``, ``low``, ``high`` (ends of the intervals) and what ``/reference``
            holds.
        components: Directions of unit norm, (component, z, y, x).
        component_std: Standard deviation along each, (component, z).
        explained: Share of the variance along each.
        mask: Where the object is.
        has_mask: Whether the file says so; else the mask is everywhere.
        stats: Numbers of every draw of every slice.
        timing: ``nfe`` and ``wall_s`` of every draw, where stated.
        noise_std: Of the measurement; None if not stated.
        operator: Registry name of the operator; empty if not stated.
        guarantee: Calibrated promise about ``promised``, if the file holds one.
        promised: Lower and upper ends of the intervals that keep it.
        missing: What is not there, and what to do about it; for people.
    """

    path: Path
    root: Mapping[str, str]
    provenance: Mapping[str, Any]
    scope: Mapping[str, Any] | None
    figures: Mapping[str, float]
    z: Float[np.ndarray, " z"]
    y: Float[np.ndarray, " y"]
    x: Float[np.ndarray, " x"]
    slices: np.ndarray
    affine: Float[np.ndarray, "4 4"]
    unit: str
    planned: int
    valid: Bool[np.ndarray, "draw z"]
    interval: str
    interval_level: float | None
    maps: Mapping[str, Volume]
    components: Float[np.ndarray, "component z y x"]
    component_std: Float[np.ndarray, "component z"]
    explained: Float[np.ndarray, " component"]
    mask: Bool[np.ndarray, "z y x"]
    has_mask: bool
    stats: Mapping[str, np.ndarray]
    timing: Mapping[str, np.ndarray]
    noise_std: np.ndarray | None
    operator: str
    guarantee: Mapping[str, Any] | None
    promised: tuple[Volume, Volume] | None
    missing: tuple[str, ...]

    @property
    def draws(self) -> tuple[int, ...]:
        """Draws that are written for every slice shown."""
        return tuple(int(j) for j in np.flatnonzero(self.valid.all(axis=1)))

    @property
    def complete(self) -> bool:
        """Whether the run that wrote the file came to its end."""
        return self.root.get("status") == "complete"

    @property
    def stem(self) -> str:
        """Name of the file without its endings."""
        name = self.path.name.removesuffix(".part")
        return name.removesuffix(".h5").removesuffix(".posterior") or "posterior"

    def draw(self, index: int) -> Volume:
        """Read one draw, of the slices shown."""
        with reading(self.path) as file:
            images = file["/posterior/image"]
            axes = dimensions(images)
            values = images[(0, index, 0) if "channel" in axes else (0, index)]
        wanted = np.isin(np.arange(len(values)), self._rows)
        return np.asarray(values, np.float32)[wanted]

    @property
    def _rows(self) -> np.ndarray:
        with reading(self.path) as file:
            every = np.asarray(file["/slice"][...])
        return np.flatnonzero(np.isin(every, self.slices))
