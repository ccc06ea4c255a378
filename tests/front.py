"""A tiny scan, a tiny exact prior and a pipeline for both, to try restore and the CLI on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from uqrestore.pipeline import RestorePipeline, read_pipeline
from uqrestore.priors import LowRankGaussian
from uqrestore.scans import Scan, Source, scan_from_array, write_nifti
from uqrestore.zoo.card import PriorCard

ROWS, COLUMNS, SLICES = 17, 14, 5
SHAPE = (1, ROWS, COLUMNS)
VOXEL_MM = 4.0
CARD: dict[str, Any] = {"name": "tiny", "sha256": "0" * 64, "voxel_size": [VOXEL_MM, VOXEL_MM]}
PIPELINE: dict[str, Any] = {
    "kind": "restore",
    "title": "A tiny test",
    "operator": {
        "name": "masked_fourier",
        "channels": 1,
        "mask": {"law": "cartesian", "acceleration": 2, "center_lines": 3},
    },
    "prior": "tiny",
    "method": {"name": "ddnm", "steps": 6},
    "baseline": "tiny",
    "draws": 6,
    "components": 2,
}


def smooth(count: int, seed: int) -> np.ndarray:
    """Return smooth random images ``(count, row, column)``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : np.pi : ROWS * 1j, 0 : np.pi : COLUMNS * 1j]
    waves = [np.cos(i * y) * np.cos(j * x) / (1 + i + j) for i in range(4) for j in range(4)]
    return np.tensordot(rng.standard_normal((count, len(waves))), waves, 1).astype(np.float32)


def tiny_prior() -> LowRankGaussian:
    """Return a Gaussian prior of images like those of ``tiny_voxels``, in network intensity."""
    factors = torch.as_tensor(0.3 * smooth(12, 1))[:, None]
    return LowRankGaussian(torch.full(SHAPE, -0.2), factors, tau=0.01)


def tiny_voxels() -> np.ndarray:
    """Return voxels ``(x, y, z)``: an ellipse of smooth texture, zero outside."""
    texture = 100 + 30 * smooth(SLICES, 2)
    y, x = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    inside = (x / 0.85) ** 2 + (y / 0.9) ** 2 < 1
    return np.where(inside, np.maximum(texture, 5), 0).transpose(2, 1, 0).astype(np.float32)


def tiny_affine() -> np.ndarray:
    """Return a RAS+ affine of 4 mm voxels."""
    return np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])


def tiny_scan() -> Scan:
    """Return the tiny scan in memory."""
    return scan_from_array(tiny_voxels(), tiny_affine(), source=Source("tiny.nii.gz"))


def write_scan(path: Path, voxels: np.ndarray | None = None) -> Path:
    """Write the tiny scan, or other voxels on its grid, as NIfTI."""
    from uqrestore.scans import Grid

    values = tiny_voxels() if voxels is None else voxels
    return write_nifti(path, values, Grid(values.shape[:3], tiny_affine()))


def tiny_pipeline(folder: Path, **changes: object) -> RestorePipeline:
    """Return the tiny pipeline, some of its keys changed."""
    pipeline = read_pipeline(write_pipeline(folder, **changes))
    assert isinstance(pipeline, RestorePipeline)
    return pipeline


def exact_inpainting(folder: Path, visible: float, **mask: object) -> RestorePipeline:
    """Return the tiny pipeline with exact draws of an image of which few pixels are seen."""
    few = {"law": "patches", "side": 1, "visible": visible, "seed": 0, **mask}
    return tiny_pipeline(
        folder,
        operator={"name": "inpainting", "mask": few},
        method={"name": "exact"},
        baseline=None,
    )


def write_pipeline(folder: Path, **changes: object) -> Path:
    """Write the tiny pipeline, some of its keys changed, as a file."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(PIPELINE | changes))
    return path


def read(path: Path, name: str) -> np.ndarray:
    """Return one variable of a posterior file, such as ``estimate/mmse``."""
    from uqrestore.posterior import open_posterior

    group, _, variable = name.rpartition("/")
    with open_posterior(path) as tree:
        node = tree.children[group] if group else tree
        return node.to_dataset()[variable].values.copy()


def use_prior(monkeypatch: pytest.MonkeyPatch, prior: object, **card: object) -> None:
    """Make ``tiny`` a prior of the zoo, some keys of its card changed."""
    monkeypatch.setattr("uqrestore.restoration.prior_cache.load_prior", lambda _: prior)
    changed = PriorCard.model_validate(CARD | card)
    monkeypatch.setattr("uqrestore.restoration.prior_cache.load_card", lambda _: changed)
