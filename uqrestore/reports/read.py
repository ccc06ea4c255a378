"""Read from a posterior file what a report shows; what is not there is said, never guessed."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uqrestore.intervals import CentralInterval, central_interval, percent
from uqrestore.posterior._hdf5 import UNREADABLE, dimensions, reading, short
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.integrity import intact
from uqrestore.reports.contents import TITLES, Contents, Volume

READS = 1
"""Newest schema of posterior files that a report understands."""


def read_contents(path: Path) -> Contents:
    """Read all that a report shows, but the draws themselves.

    Raises:
        PosteriorError: If the file is missing, damaged, or no posterior file; anything less is
            said in ``missing``.
    """
    if path.is_dir():
        raise PosteriorError(f"{path}: is a folder; give posterior files.")
    if not path.exists():
        raise PosteriorError(f"{path}: does not exist; check the path.")
    if not path.name.endswith(".part") and intact(path) is False:
        raise PosteriorError(
            f"{path}: a byte has changed since it was written, so nothing of it is shown; "
            "`uqrestore inspect` says where. Take a sound copy, or make it again."
        )
    try:
        with reading(path) as file:
            return _Reading(path, file).contents()
    except UNREADABLE as error:
        raise PosteriorError(f"{path}: is no posterior file ({short(error)}).") from error


class _Reading:
    """One pass through an open file, which notes what it does not find."""

    def __init__(self, path: Path, file: Any) -> None:  # noqa: ANN401  (h5py is typed loosely)
        self.path, self.file = path, file
        self.missing: list[str] = []
        self.interval, self.level = "90 %", None

    def contents(self) -> Contents:
        root = {key: _text(value) for key, value in self.file.attrs.items()}
        self._check_schema(root)
        images = self.file["/posterior/image"]
        axes = dict(zip(dimensions(images), images.shape, strict=True))
        if axes.get("channel", 1) > 1:
            self.missing.append(
                f"Only the first of {axes['channel']} channels is shown; the file holds them all."
            )
        valid = np.asarray(self.file["/posterior/valid"][...])[0] == 1
        maps = self._maps()
        keep = np.ones(valid.shape[1], bool)
        if "mean" not in maps:
            keep = valid.sum(axis=0) >= 2
            maps = self._moments(valid, keep) | {k: v[keep] for k, v in maps.items()}
        self._note_draws(root, valid, keep)
        components, std, explained = self._components(maps, keep)
        mask = self._volume("/constant_data/brain_mask")
        if mask is None:
            self.missing.append("No mask of the object: every pixel counts as part of it.")
        shape = (int(keep.sum()), axes["y"], axes["x"])
        return Contents(
            path=self.path,
            root=root,
            provenance=self._json(root, "provenance") or {},
            scope=self._json(root, "scope"),
            figures=self._json(root, "figures") or {},
            z=self._axis("z", valid.shape[1])[keep],
            y=self._axis("y", axes["y"]),
            x=self._axis("x", axes["x"]),
            slices=np.asarray(self.file["/slice"][...])[keep],
            affine=self._affine(),
            unit=self._unit(),
            planned=len(valid),
            valid=valid[:, keep],
            interval=self.interval,
            interval_level=self.level,
            maps=maps,
            components=components,
            component_std=std,
            explained=explained,
            mask=np.ones(shape, bool) if mask is None else mask[keep] > 0,
            has_mask=mask is not None,
            stats=self._stats(keep),
            timing=self._timing(),
            noise_std=self._array("/observed_data/noise_std"),
            operator=self._operator(),
            guarantee=self._guarantee(),
            promised=self._promised(keep),
            missing=tuple(self.missing),
        )

    def _check_schema(self, root: Mapping[str, str]) -> None:
        found = re.search(r"uqrestore-(\d+)", root.get("Conventions", ""))
        if found is None:
            raise PosteriorError(f"{self.path}: is HDF5 but not a posterior file of uqrestore.")
        if int(found[1]) > READS:
            self.missing.append(
                f"The file has schema uqrestore-{found[1]}, this report reads uqrestore-{READS}: "
                "what is new in it is not shown. Upgrade uqrestore."
            )

    def _note_draws(self, root: Mapping[str, str], valid: np.ndarray, keep: np.ndarray) -> None:
        if root.get("status") != "complete":
            self.missing.append(
                f"The run is not finished: {int(valid.sum())} of {valid.size} slices of draws are "
                "written, and mean and spread are of those. Run the same command to go on."
            )
        if not keep.all():
            self.missing.append(
                f"{int((~keep).sum())} of {len(keep)} slices have fewer than two draws and are not "
                "shown."
            )

    def _maps(self) -> dict[str, Volume]:
        """Return what the file holds; without mean and std, nothing of the estimate."""
        found: dict[str, Volume] = {}
        mean, std = self._volume("/estimate/mmse"), self._volume("/estimate/std")
        if mean is not None and std is not None:
            found |= {"mean": mean, "std": std, **self._ends(mean, std)}
        for name in TITLES:
            values = self._volume(f"/reference/{name}")
            if values is not None:
                found[name] = values
        if "truth" not in found:
            self.missing.append(
                "No reference image: errors cannot be shown. That is as it is with real data."
            )
        return found

    def _ends(self, mean: Volume, std: Volume) -> dict[str, Volume]:
        """Return the ends of central intervals; quantiles that were interpolated are not used."""
        quantile, levels = self.file.get("/estimate/quantile"), self._array("/estimate/q")
        draws = int(np.ravel(self.file["/estimate"].attrs.get("draws", 0))[0])
        if quantile is not None and levels is not None and "q_source" in quantile.attrs and draws:
            interval = central_interval(draws)
            at = [np.flatnonzero(np.isclose(levels, level)) for level in interval.tails]
            values = self._array("/estimate/quantile")
            if values is not None and all(len(i) for i in at):
                self.interval, self.level = interval.name, interval.level
                values = _first_channel(dimensions(quantile), values)
                return {"low": values[at[0][0]], "high": values[at[1][0]]}
        valid = np.asarray(self.file["/posterior/valid"][...])[0] == 1
        if valid.all() and len(valid) == draws:
            found = self._moments(valid, np.ones(valid.shape[1], bool))
            return {"low": found["low"], "high": found["high"]}
        self.missing.append(
            "No quantiles of all draws: intervals are mean -+ 1.645 std, which is 90 % only if the "
            "posterior of a pixel is Gaussian."
        )
        self.interval = "Gaussian 90 %"
        return {"low": mean - 1.645 * std, "high": mean + 1.645 * std}

    def _moments(self, valid: np.ndarray, keep: np.ndarray) -> dict[str, Volume]:
        """Compute mean, spread and intervals from the draws that are written."""
        found: set[CentralInterval] = set()
        images = self.file["/posterior/image"]
        channel = (0,) if "channel" in dimensions(images) else ()
        rows: dict[str, list[np.ndarray]] = {"mean": [], "std": [], "low": [], "high": []}
        for k in np.flatnonzero(keep):
            draws = np.stack([images[(0, j, *channel, k)] for j in np.flatnonzero(valid[:, k])])
            rows["mean"].append(draws.mean(axis=0))
            rows["std"].append(draws.std(axis=0, ddof=1))
            interval = central_interval(len(draws))
            found.add(interval)
            for name, end in zip(("low", "high"), interval.of(draws), strict=True):
                rows[name].append(end)
        if found:
            self.level = found.pop().level if len(found) == 1 else None
            self.interval = "90 %" if self.level is None else percent(self.level)
        shape = (0, *images.shape[-2:])
        return {
            name: np.asarray(values, np.float32).reshape(-1, *shape[1:])
            for name, values in rows.items()
        }

    def _components(
        self, maps: Mapping[str, Volume], keep: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pc, std = self.file.get("/estimate/pc"), self._array("/estimate/pc_std")
        values = None if pc is None else self._array("/estimate/pc")
        if pc is None or values is None or std is None or len(std) == 0:
            self.missing.append(
                "No principal components: the sliders are left out. They need a finished run with "
                "`components` in its pipeline and at least that many draws plus two."
            )
            shape = (0, *maps["mean"].shape)
            return np.zeros(shape, np.float32), np.zeros(shape[:2]), np.zeros(0)
        explained = self._array("/estimate/explained")
        if explained is None:
            explained = np.full(len(std), np.nan)
        values = _first_channel(dimensions(pc), values)
        return values[:, keep].astype(np.float32), std[:, keep], explained

    def _stats(self, keep: np.ndarray) -> dict[str, np.ndarray]:
        group = self.file.get("/sample_stats", {})
        found = {name: self._array(f"/sample_stats/{name}") for name in group}
        return {
            name: values[0][:, keep]
            for name, values in found.items()
            if values is not None and values.ndim == 3 and values.shape[2] == len(keep)
        }

    def _timing(self) -> dict[str, np.ndarray]:
        found = {name: self._array(f"/posterior/{name}") for name in ("nfe", "wall_s")}
        return {name: values for name, values in found.items() if values is not None}

    def _guarantee(self) -> Mapping[str, Any] | None:
        for place in ("/interval", "/calibration"):
            group = self.file.get(place)
            if group is not None and "guarantee" in group.attrs:
                return self._json({"guarantee": _text(group.attrs["guarantee"])}, "guarantee")
        return None

    def _promised(self, keep: np.ndarray) -> tuple[Volume, Volume] | None:
        lower, upper = self._volume("/interval/lower"), self._volume("/interval/upper")
        return None if lower is None or upper is None else (lower[keep], upper[keep])

    def _operator(self) -> str:
        group = self.file.get("/operator")
        return "" if group is None else _text(group.attrs.get("class", ""))

    def _unit(self) -> str:
        return _text(self.file["/posterior/image"].attrs.get("units", "a.u."))

    def _affine(self) -> np.ndarray:
        try:
            affine = np.asarray(self.file["/affine"].attrs["affine_ras"], np.float64)
            return affine.reshape(4, 4)
        except UNREADABLE:
            self.missing.append("No geometry: positions are pixels, not millimetres.")
            return np.eye(4)

    def _axis(self, name: str, size: int) -> np.ndarray:
        values = self._array(f"/{name}")
        ok = values is not None and values.shape == (size,)
        return values.astype(np.float64) if ok and values is not None else np.arange(size) * 1.0

    def _volume(self, place: str) -> Volume | None:
        values = self._array(place)
        if values is None:
            return None
        values = _first_channel(dimensions(self.file[place]), values)
        if values.ndim != 3 or not np.isfinite(values).all():
            self.missing.append(f"{place} is not a finite volume and is left out.")
            return None
        return values.astype(np.float32)

    def _array(self, place: str) -> np.ndarray | None:
        try:
            return np.asarray(self.file[place][...])
        except KeyError:
            return None
        except UNREADABLE as error:
            self.missing.append(f"{place} cannot be read ({short(error)}).")
            return None

    def _json(self, root: Mapping[str, str], name: str) -> dict[str, Any] | None:
        if name not in root:
            return None
        try:
            said = json.loads(root[name])
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self.missing.append(f"{name} is not readable and is left out.")
            return None
        return said


def _first_channel(dims: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    return values.take(0, dims.index("channel")) if "channel" in dims else values


def _text(value: Any) -> str:  # noqa: ANN401  (attributes come as any type)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
