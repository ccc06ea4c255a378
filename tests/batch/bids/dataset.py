"""A small BIDS dataset: people, sessions, contrasts and a derivative with masks."""

import json
from pathlib import Path

import numpy as np

from tests.front import tiny_affine, tiny_voxels
from uqrestore.scans import Grid, write_nifti

DESCRIPTION = {"Name": "tiny", "BIDSVersion": "1.10.0", "License": "CC0", "DatasetType": "raw"}


def write_dataset(root: Path, images: tuple[str, ...]) -> Path:
    """Write a valid raw dataset; an image is a path without extension, ``sub-01/anat/sub-01_T1w``.

    Images lie within [1, 3] where there is tissue, and are zero outside.
    """
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps(DESCRIPTION))
    (root / "README").write_text("A tiny dataset of the tests, of smooth random images.\n" * 4)
    for seed, name in enumerate(images):
        image(root / f"{name}.nii.gz", tiny_voxels() * (1 + 0.1 * seed))
        (root / f"{name}.json").write_text(json.dumps({"MagneticFieldStrength": 3}))
    return root


def write_masks(root: Path, names: tuple[str, ...], *, shift: float = 0.0) -> Path:
    """Write a derivative with brain masks on the grid of the images, or shifted from it."""
    root.mkdir(parents=True)
    description = DESCRIPTION | {"DatasetType": "derivative", "GeneratedBy": [{"Name": "x"}]}
    (root / "dataset_description.json").write_text(json.dumps(description))
    for name in names:
        image(root / f"{name}.nii.gz", (tiny_voxels() > 0).astype(np.float32), shift)
    return root


def image(path: Path, voxels: np.ndarray, shift: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = tiny_affine()
    affine[0, 3] = shift
    write_nifti(path, voxels, Grid(voxels.shape[:3], affine))
