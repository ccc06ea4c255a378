"""Reading a posterior file for a report; missing values are reported as missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uqrestore.posterior._hdf5 import UNREADABLE, short
from uqrestore.posterior._header import NEWEST
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.integrity import intact
from uqrestore.posterior.intervals import central_interval, percent
from uqrestore.posterior.view import PosteriorFile, images_of, shown_channel
from uqrestore.reports.contents import TITLES, Contents, Volume, as_volume


def read_contents(path: Path) -> Contents:
    """Read all that a report shows, but the draws and the components.

    Raises:
        PosteriorError: If the file is missing, damaged, or no posterior file; anything less is
            stated in ``missing``.
    """
    if path.is_file() and not path.name.endswith(".part") and intact(path) is False:
        raise PosteriorError(
            f"{path}: a byte has changed since it was written, so nothing of it is shown; "
            "`uqrestore inspect` says where. Take a sound copy, or make it again."
        )
    try:
        return _Reading(PosteriorFile(path, newer=True)).contents()
    except UNREADABLE as error:
        if isinstance(error, PosteriorError):
            raise
        raise PosteriorError(f"{path}: cannot be read ({short(error)}).") from error


class _Reading:
    """One pass through a file, which notes what it does not find."""

    def __init__(self, file: PosteriorFile) -> None:
        self.file = file
        self.missing: list[str] = []
        self.interval, self.level = "90 %", None

    def contents(self) -> Contents:
        file = self.file
        if file.schema > NEWEST:
            self.missing.append(
                f"The file has schema uqrestore-{file.schema}, this report reads "
                f"uqrestore-{NEWEST}: what is new in it is not shown. Upgrade uqrestore."
            )
        if file.channels > 1 and not file.complex_image:
            self.missing.append(
                f"Only the first of {file.channels} channels is shown; the file holds them all."
            )
        valid = file.valid.values
        maps, keep = self._maps(), np.ones(valid.shape[1], bool)
        if "mean" not in maps:
            keep = valid.sum(axis=0) >= 2
            maps = self._moments(valid, keep) | {k: v[keep] for k, v in maps.items()}
        self._note_draws(valid, keep)
        std, explained = self._components()
        mask = self._volume("constant_data/brain_mask")
        if mask is None:
            self.missing.append("No mask of the object: every pixel counts as part of it.")
        image, interval = file["posterior/image"], self._pair("interval/lower", "interval/upper")
        if interval is not None and file.complex_image:
            interval = None
            self.missing.append(
                "The guaranteed intervals are those of real and imaginary part, not of the "
                "magnitude, and are not shown; the file holds them."
            )
        noise = file.find("observed_data/noise_std")
        return Contents(
            file=file,
            provenance=self._stated("provenance") or {},
            scope=self._stated("scope"),
            figures=self._stated("figures") or {},
            rows=np.flatnonzero(keep),
            slices=file.slices[keep],
            z=self._axis("z", valid.shape[1])[keep],
            y=self._axis("y", image.sizes["y"]),
            x=self._axis("x", image.sizes["x"]),
            affine=self._affine(),
            valid=valid[:, keep],
            interval=self.interval,
            interval_level=self.level,
            phase=self._phase(keep),
            maps=maps,
            component_std=std[:, keep],
            explained=explained,
            mask=np.ones(maps["mean"].shape, bool) if mask is None else mask[keep] > 0,
            has_mask=mask is not None,
            noise_std=None if noise is None else noise.values.astype(np.float64),
            guarantee=self._guarantee(),
            guaranteed=None if interval is None else (interval[0][keep], interval[1][keep]),
            missing=tuple(self.missing),
        )

    def _note_draws(self, valid: np.ndarray, keep: np.ndarray) -> None:
        if not self.file.complete:
            self.missing.append(
                f"The run is not finished: {int(valid.sum())} of {valid.size} slices of draws are "
                "written, and mean and spread are of those. Run the same command to resume it."
            )
        if not keep.all():
            self.missing.append(
                f"{int((~keep).sum())} of {len(keep)} slices have fewer than two draws and are not "
                "shown."
            )

    def _maps(self) -> dict[str, Volume]:
        """Return the maps of the file; without mean and std, none of the estimate."""
        found: dict[str, Volume] = {}
        estimate = self._pair("estimate/mmse", "estimate/std")
        if estimate is not None:
            mean, std = estimate
            std = as_volume(self.file.std) if self.file.complex_image else std
            found |= {"mean": mean, "std": std, **self._ends(mean, std)}
        for name in TITLES:
            values = self._volume(f"reference/{name}")
            if values is not None:
                found[name] = values
        if "truth" not in found:
            self.missing.append("No reference image, so no errors are shown: usual for real data.")
        return found

    def _ends(self, mean: Volume, std: Volume) -> dict[str, Volume]:
        """Return the ends of central intervals; quantiles that were interpolated are not used."""
        quantile, valid = self.file.find("estimate/quantile"), self.file.valid.values
        draws = int(np.ravel(self.file.tree.children["estimate"].attrs.get("draws", 0))[0])
        # Quantiles of complex images are those of real and imaginary part.
        real = not self.file.complex_image
        if real and quantile is not None and draws and "q_source" in quantile.attrs:
            interval = central_interval(draws)
            levels = quantile["q"].values
            at = [np.flatnonzero(np.isclose(levels, level)) for level in interval.tails]
            if all(len(place) for place in at):
                self.interval, self.level = interval.name, interval.level
                ends = (shown_channel(quantile).isel(q=int(place[0])) for place in at)
                return dict(zip(("low", "high"), map(as_volume, ends), strict=True))
        if valid.all() and len(valid) == draws:
            found = self._moments(valid, np.ones(valid.shape[1], bool))
            return {"low": found["low"], "high": found["high"]}
        self.missing.append(
            "No quantiles of all draws: intervals are mean ± 1.645 std, which is 90 % only if the "
            "posterior of a pixel is Gaussian."
        )
        self.interval = "Gaussian 90 %"
        return {"low": mean - 1.645 * std, "high": mean + 1.645 * std}

    def _moments(self, valid: np.ndarray, keep: np.ndarray) -> dict[str, Volume]:
        """Compute mean, spread and intervals from the draws that are written."""
        images = shown_channel(self.file["posterior/image"]).isel(chain=0)
        shape = (int(keep.sum()), images.sizes["y"], images.sizes["x"])
        maps = {name: np.empty(shape, np.float32) for name in ("mean", "std", "low", "high")}
        levels = set()
        for row, k in enumerate(np.flatnonzero(keep)):
            draws = as_volume(images.isel(z=int(k)))[valid[:, k]]
            interval = central_interval(len(draws))
            levels.add(interval.level)
            maps["mean"][row] = self._mean_of(int(k), draws, valid[:, k])
            maps["std"][row] = draws.std(axis=0, ddof=1, dtype=np.float64)
            maps["low"][row], maps["high"][row] = interval.of(draws)
        if len(levels) == 1:
            self.level = levels.pop()
            self.interval = percent(self.level)
        return maps

    def _mean_of(self, k: int, draws: np.ndarray, written: np.ndarray) -> np.ndarray:
        """Return the mean of a slice; of complex images the magnitude of their mean."""
        if not self.file.complex_image:
            return draws.mean(axis=0, dtype=np.float64)
        parts = images_of(self.file["posterior/image"].isel(chain=0, z=[k]))[written, 0]
        return np.linalg.norm(parts.mean(axis=0, dtype=np.float64), axis=0)

    def _phase(self, keep: np.ndarray) -> Volume | None:
        try:
            phase = self.file.phase
        except (PosteriorError, LookupError, *UNREADABLE):
            return None  # what is wrong with the operator is stated by the data fit
        return None if phase is None else as_volume(phase)[keep]

    def _components(self) -> tuple[np.ndarray, np.ndarray]:
        std = self.file.find("estimate/pc_std")
        if std is None or not self.file.component_count:
            self.missing.append(
                "No principal components, so the sliders are left out. They need a finished run "
                "with `components` in its pipeline and at least that many draws plus two."
            )
            return np.zeros((0, self.file["z"].size)), np.zeros(0)
        explained = self.file.find("estimate/explained")
        share = np.full(len(std), np.nan) if explained is None else explained.values
        return std.values, share

    def _guarantee(self) -> Mapping[str, Any] | None:
        try:
            return self.file.guarantee
        except PosteriorError:
            self.missing.append("The guarantee of the file is not readable and is left out.")
            return None

    def _affine(self) -> np.ndarray:
        try:
            affine = np.asarray(self.file["affine"].attrs["affine_ras"], np.float64)
            return affine.reshape(4, 4)
        except UNREADABLE:
            self.missing.append("No geometry: positions are pixels, not millimetres.")
            return np.eye(4)

    def _axis(self, name: str, size: int) -> np.ndarray:
        values = self.file.find(name)
        if values is None or values.shape != (size,):
            return np.arange(size, dtype=np.float64)
        return values.values.astype(np.float64)

    def _pair(self, first: str, second: str) -> tuple[Volume, Volume] | None:
        one, other = self._volume(first), self._volume(second)
        return None if one is None or other is None else (one, other)

    def _volume(self, place: str) -> Volume | None:
        values = self.file.find(place)
        if values is None:
            return None
        volume = as_volume(shown_channel(values))
        if volume.ndim != 3 or not np.isfinite(volume).all():
            self.missing.append(f"/{place} is not a finite volume and is left out.")
            return None
        return volume

    def _stated(self, name: str) -> dict[str, Any] | None:
        try:
            return self.file.attribute(name)
        except PosteriorError:
            self.missing.append(f"{name} is not readable and is left out.")
            return None
