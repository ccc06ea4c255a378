"""Small scans and a small prior in files of their own, which worker processes can read."""

import json
from pathlib import Path

import numpy as np
import yaml

from tests.front import CARD, PIPELINE, tiny_prior, tiny_voxels, write_scan
from uqrestore.networks.weights import sha256
from uqrestore.pipeline import RestorePipeline, read_pipeline


def write_prior(folder: Path) -> Path:
    """Write the tiny prior with its card."""
    path = folder / "tiny.safetensors"
    tiny_prior().save(path)
    card = CARD | {"kind": "low_rank_gaussian", "sha256": sha256(path)}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def write_pipeline(folder: Path, **changes: object) -> Path:
    """Write the tiny pipeline, its prior given by path."""
    path = folder / "batch.yaml"
    prior = str(write_prior(folder))
    path.write_text(yaml.safe_dump(PIPELINE | {"prior": prior, "baseline": None} | changes))
    return path


def pipeline(folder: Path, **changes: object) -> RestorePipeline:
    """Return the pipeline of :func:`write_pipeline`."""
    read = read_pipeline(write_pipeline(folder, **changes))
    assert isinstance(read, RestorePipeline)
    return read


def write_scans(folder: Path, names: list[str]) -> list[Path]:
    """Write scans that differ from one another."""
    folder.mkdir(parents=True, exist_ok=True)
    bright = [1 + 0.01 * i for i in range(len(names))]
    paths = [folder / f"{name}.nii.gz" for name in names]
    for path, factor in zip(paths, bright, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_scan(path, np.float32(factor) * tiny_voxels())
    return paths
