"""Fit a low-rank Gaussian distribution to slices in HDF5 files, and write it with its card."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore._shared.files import write_text
from uqrestore.priors.low_rank import LowRankGaussian, fit_low_rank

Slices = Float[Tensor, "slice channel row column"]

BRAIN64_FILES = ("brain_synth_64.h5", "brain_aug_64.h5")
BRAIN64_FACTS = {
    "title": "Mean and 450 principal components of axial T1-weighted brain slices",
    "contrast": "T1w",
    "skull_stripped": True,
    "voxel_size": [3.0, 3.0],
    "units": "network units: background -1, 99.9th percentile inside the brain 1",
    "data": [
        {
            "name": "synthetic slices from the label maps of 15 people released with SynthSeg",
            "slices": 6000,
            "licence": "Apache-2.0",
        },
        {
            "name": "augmented real slices of Colin27 (mricron-data), pycortex S1 and the ICBM "
            "2009a symmetric average (nilearn)",
            "slices": 6000,
            "licence": "BSD-3-Clause; BSD-2-Clause; ICBM notice (use, copy, modify, distribute "
            "without fee)",
        },
    ],
    "validation_data": "400 synthetic slices of 3 other people",
    "licence": "Apache-2.0",
    "known_limits": "17 people and a population average: narrow. The variance that the factors "
    "leave out is taken to be the same in every voxel: too much for the background, too little "
    "for the cortex.",
}

# Noise levels, in network units, at which a card states the denoising error.
LEVELS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 80.0)


def read_slices(files: Sequence[Path], split: str, *, variable: str = "brain") -> Slices:
    """Read slices in [0, 1] from a group of HDF5 files and map them to [-1, 1].

    Raises:
        ValueError: If no file holds the group.
    """
    import h5py

    parts = []
    for path in files:
        with h5py.File(path) as file:
            if f"{split}/{variable}" in file:
                stored: Any = file[f"{split}/{variable}"]
                scale = float(np.asarray(stored.attrs.get("scale_factor", 1.0)).item())
                parts.append(torch.from_numpy(stored[()]).float() * scale)
    if not parts:
        raise ValueError(
            f"none of {', '.join(map(str, files)) or 'no files'} holds {split}/{variable}; name "
            "HDF5 files of slices, such as those that the brain prior is trained on."
        )
    return torch.cat(parts).unsqueeze(1) * 2 - 1


def write_gaussian(
    files: Sequence[Path],
    out: Path,
    *,
    rank: int = 450,
    flip: bool = True,
    facts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit a Gaussian to the ``train`` slices of files; write ``out``.safetensors and ``out``.json.

    Args:
        files: HDF5 files of slices.
        out: Path without suffix; its last part is the name of the prior.
        rank: Number of factors.
        flip: Add every slice mirrored left-right (the last axis).
        facts: What the card should say besides: contrast, voxel size, sources, licences.

    Returns:
        The card.
    """
    train = read_slices(files, "train")
    model = fit_low_rank(torch.cat([train, train.flip(-1)]) if flip else train, rank)
    weights = out.with_suffix(".safetensors")
    model.save(weights)
    model = LowRankGaussian.load(weights)
    card = {
        "name": out.name,
        "kind": "low_rank_gaussian",
        "in_shape": list(model.in_shape),
        "rank": rank,
        "tau": model.tau,
        "training_slices": len(train),
        "mirrored": flip,
        **(facts or {}),
        "validation": denoising_errors(model, read_slices(files, "val")),
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    write_text(out.with_suffix(".json"), json.dumps(card, indent=2) + "\n")
    return card


def write_brain64_gaussian(data: Path, folder: Path) -> dict[str, Any]:
    """Make the prior ``brain64-gaussian`` that ships, from the folder of the training slices."""
    files = [data / name for name in BRAIN64_FILES]
    return write_gaussian(files, folder / "brain64-gaussian", facts=BRAIN64_FACTS)


def denoising_errors(model: LowRankGaussian, images: Slices, *, seed: int = 0) -> dict[str, Any]:
    r"""Return the mean squared error per voxel of a model's denoiser at some noise levels.

    Beside it stands that of :math:`D = c_\mathrm{skip} x_t`, which knows nothing of images but
    their scale :math:`\sigma_d = 0.5`.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images.shape, generator=generator)
    rows = []
    for sigma in LEVELS:
        x_t = images + sigma * noise
        error = (model.denoise(x_t, sigma) - images).square().mean()
        trivial = (0.25 / (0.25 + sigma**2) * x_t - images).square().mean()
        rows.append({"sigma": sigma, "mse": float(error), "mse_c_skip": float(trivial)})
    return {"slices": len(images), "denoising": rows}
