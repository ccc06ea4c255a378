"""Posterior files with known truth, read as scenes: what evaluate and calibrate work on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from uqrestore._shared.files import atomic, write_text
from uqrestore.conformal.calibrate import calibrate
from uqrestore.conformal.component_box import (
    ComponentPredictions,
    calibrate_box,
    predicted_residual,
)
from uqrestore.conformal.guarantee import Guarantee
from uqrestore.conformal.predictions import Predictions
from uqrestore.conformal.scope import UNIT, Setting, setting_of
from uqrestore.diagnostics.evaluate import Evaluation, evaluate
from uqrestore.diagnostics.scenes import Scenes, scene_keys
from uqrestore.metrics.image import NETWORK_RANGE
from uqrestore.operators import mix
from uqrestore.operators.base import LinearOperator, stack_operators
from uqrestore.posterior import PosteriorError, PosteriorFile
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.posterior.view import images_of
from uqrestore.problem import Problem
from uqrestore.scans import Intensity

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, eq=False)
class Study:
    """Slices of several scans with truth, draws and measurements.

    Attributes:
        scenes: One scene a slice, in network intensity; scans are its groups.
        mask: Pixels of the brain.
        settings: Measurement and restoration of each scan.
        files: The posterior files.
    """

    scenes: Scenes
    mask: Bool[np.ndarray, "scene row column"]
    settings: tuple[Setting, ...]
    files: tuple[Path, ...]

    def evaluate(self, *, level: float = 0.01) -> Evaluation:
        """Run every test and score; see :func:`uqrestore.diagnostics.evaluate.evaluate`."""
        return evaluate(self.scenes, mask=self.mask, data_range=NETWORK_RANGE, level=level)

    def calibrate(self, **options: Any) -> Guarantee:  # noqa: ANN401 - those of calibrate
        """Make a guarantee; see :func:`uqrestore.conformal.calibrate.calibrate`."""
        inside = np.broadcast_to(self.mask[:, None], self.scenes.truth.shape)
        predictions = Predictions.from_scenes(self.scenes, mask=inside)
        return calibrate(predictions, self.settings, **options)

    def calibrate_box(self, *, alpha: float = 0.1) -> Guarantee:
        """Make a guarantee for the components; see ``component_box.calibrate_box``.

        Raises:
            PosteriorError: If the files hold no components, or not as many each.
            ValueError: If there are too few scenes, saying how many it takes.
        """
        parts = [_components(path) for path in self.files]
        counts = sorted({part.std.shape[1] for part in parts})
        if counts[0] == 0 or len(counts) > 1:
            raise PosteriorError(
                f"the files hold {counts} components; a box is of as many each. Restore with the "
                "same 'components' above 0."
            )
        together = ComponentPredictions(
            truth=self.scenes.truth,
            centre=np.concatenate([part.centre for part in parts]),
            directions=np.concatenate([part.directions for part in parts]),
            std=np.concatenate([part.std for part in parts]),
            residual=np.concatenate([part.residual for part in parts]),
            groups=self.scenes.groups,
        )
        return calibrate_box(together, self.settings, alpha=alpha)


@dataclass(frozen=True, eq=False)
class _File:
    truth: Float[np.ndarray, "slice channel row column"]
    draws: Float[np.ndarray, "draw slice channel row column"]
    mask: Bool[np.ndarray, "slice row column"]
    operators: list[LinearOperator]
    y: torch.Tensor
    noise_std: float
    setting: Setting


@dataclass(frozen=True, eq=False)
class _Components:
    """What a file predicts of its slices along components, in network intensity."""

    centre: Float[np.ndarray, "slice channel row column"]
    directions: Float[np.ndarray, "slice component channel row column"]
    std: Float[np.ndarray, "slice component"]
    residual: Float[np.ndarray, " slice"]


def find_files(folder: Path) -> list[Path]:
    """Return the posterior files of a folder and its subfolders, or the one file given.

    Raises:
        PosteriorError: If there is none.
    """
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.posterior.h5"))
    if not files:
        raise PosteriorError(
            f"{folder}: holds no posterior files (*.posterior.h5); restore scans into it first, "
            "or give a folder of scans with --pipeline."
        )
    return files


def read_study(files: Sequence[Path]) -> Study:
    """Read finished posterior files that hold the truth of a simulated acquisition.

    Raises:
        PosteriorError: If a file is not finished or holds no truth, or files differ in the number
            of draws.
    """
    read = [_read(path) for path in files]
    counts = {len(one.draws) for one in read}
    if len(counts) > 1:
        raise PosteriorError(
            f"the files hold {sorted(counts)} draws; scenes of one study need as many each."
        )
    operators = [operator for one in read for operator in one.operators]
    same_kind = len({operator.group_key() for operator in operators}) == 1
    rows = [len(one.operators) for one in read]
    if same_kind:
        y = torch.cat([one.y for one in read])
        operator = stack_operators(operators)
    else:
        operator = mix(operators)
        flat = [row for one in read for row in one.y.flatten(1)]
        y = torch.stack([_pad(row, operator.rows) for row in flat])
    noise_std = torch.cat(
        [torch.full((n,), one.noise_std) for n, one in zip(rows, read, strict=True)]
    )
    scenes = Scenes(
        truth=np.concatenate([one.truth for one in read]),
        draws=np.concatenate([one.draws for one in read], axis=1),
        problem=Problem(operator, y, noise_std),
        unit=UNIT,
        truth_unit=UNIT,
        groups=np.repeat(np.arange(len(read)), rows),
    )
    mask = np.concatenate([one.mask for one in read])
    return Study(scenes, mask, tuple(one.setting for one in read), tuple(files))


def _read(path: Path) -> _File:
    with PosteriorFile(path) as file:
        if not file.complete:
            raise PosteriorError(f"{path}: is not finished; run its restoration to the end.")
        truth, mask = file.find("reference/truth"), file.mask
        if truth is None:
            raise PosteriorError(
                f"{path}: holds no truth, so nothing can be compared with it; evaluate and "
                "calibrate need simulated acquisitions of scans that are known."
            )
        if mask is None:
            raise PosteriorError(f"{path}: holds no brain mask, which evaluate and calibrate need.")
        if not file.samples.sizes["sample"]:
            raise PosteriorError(f"{path}: keeps no draws; restore it with --keep all or thin.")
        intensity = file.intensity
        truth = _to_network(images_of(truth), intensity)
        draws = _to_network(images_of(file["posterior/image"].isel(chain=0)), intensity)
        y = torch.as_tensor(np.array(file["observed_data/y"]))
        noise_std = float(file["observed_data/noise_std"].max())
        across, down, _ = file.placement.model.spacing
        operator = file.operator()
        batched = bool(operator.problem_shape)
        acquisition = Acquisition(operator, y, noise_std, intensity, tuple(range(len(truth))))
        return _File(
            truth=truth,
            draws=draws,
            mask=mask.values,
            operators=[operator.select(i) if batched else operator for i in range(len(truth))],
            y=acquisition.problem(acquisition.slices).y,
            noise_std=noise_std / intensity.scale,
            setting=setting_of(
                file.provenance, operator.name, len(draws), (down, across), scene_keys(truth)
            ),
        )


def _components(path: Path) -> _Components:
    with PosteriorFile(path) as file:
        intensity = file.intensity
        centre = _to_network(images_of(file.variable("mmse")), intensity)
        std = images_of(file.variable("std"))
        pc_std = np.zeros((0, len(centre)), np.float32)
        directions = np.zeros((len(centre), 0, *centre.shape[1:]), np.float32)
        if file.component_count:
            pc_std = file.component_std.values.astype(np.float32)
            directions = images_of(file.variable("pc").transpose("component", ...)).swapaxes(0, 1)
    residual = predicted_residual(std, pc_std) / intensity.scale
    return _Components(centre, directions, pc_std.T / intensity.scale, residual)


def _to_network(images: np.ndarray, intensity: Intensity) -> np.ndarray:
    return intensity.to_network(images).astype(np.float32)


def _pad(row: torch.Tensor, length: int) -> torch.Tensor:
    return torch.nn.functional.pad(row, (0, length - len(row)))


def table_of(found: Evaluation) -> "Table":
    """Evaluation as a table for the terminal: every number beside an ideal sampler's."""
    from rich.table import Table

    table = Table("", "what", "value", "interval", "ideal sampler", title="Evaluation")
    group = ""
    for row in found.rows:
        interval = "" if np.isnan(row.low) else f"{row.low:.4g} ... {row.high:.4g}"
        perfect = "" if np.isnan(row.perfect) else f"{row.perfect:.4g}"
        shown = "" if row.group == group else row.group
        table.add_row(shown, row.name, f"{row.value:.4g}", interval, perfect)
        group = row.group
    for finding in found.battery.findings:
        shown = "" if group == "rank test" else "rank test"
        group = "rank test"
        table.add_row(shown, f"{finding.statistic}, corrected p", f"{finding.p_corrected:.2g}")
    return table


def save_evaluation(found: Evaluation, path: Path) -> None:
    """Write an evaluation as JSON or, where the name ends in ``.nc``, as NetCDF.

    Raises:
        ValueError: If the name ends in neither.
    """
    if path.suffix == ".json":
        write_text(path, json.dumps(found.to_data(), indent=1) + "\n")
    elif path.suffix == ".nc":
        with atomic(path) as temporary:
            temporary.write_bytes(found.to_xarray().to_netcdf(engine="h5netcdf"))
    else:
        raise ValueError(f"{path}: the table is written as .json or .nc; choose one of them.")
