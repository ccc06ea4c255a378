"""Restore a whole volume under a budget of memory: ``python -m tests.volumes 2GiB``.

256 x 256 x 180 voxels, 16 draws, a Gaussian prior; prints the most memory the process has held.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from uqrestore._shared.memory import peak_memory, read_size
from uqrestore.networks.weights import sha256
from uqrestore.pipeline import RestorePipeline, read_pipeline
from uqrestore.posterior import Storage
from uqrestore.priors import LowRankGaussian
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import Progress, restore
from uqrestore.scans import Source, scan_from_array

SIDE, SLICES, DRAWS, FACTORS = 256, 180, 16, 8


def prior(folder: Path, side: int) -> Path:
    """Write a Gaussian prior of smooth images."""
    wave = torch.linspace(0, torch.pi, side)
    waves = [torch.outer((i * wave).cos(), (j * wave).cos()) for i in range(3) for j in range(3)]
    factors = 0.2 * torch.stack(waves[:FACTORS])[:, None]
    path = folder / "gaussian.safetensors"
    LowRankGaussian(torch.full((1, side, side), -0.3), factors, tau=0.01).save(path)
    card = {"name": "gaussian", "kind": "low_rank_gaussian", "sha256": sha256(path)}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def pipeline(folder: Path, side: int) -> RestorePipeline:
    """Return exact draws from one k-space line in four."""
    mask = {"law": "cartesian", "acceleration": 4, "center_lines": side // 12}
    fields = {
        "kind": "restore", "title": "volume", "prior": str(prior(folder, side)),
        "operator": {"name": "masked_fourier", "channels": 1, "mask": mask},
        "method": {"name": "exact"}, "draws": DRAWS, "components": 3, "axial_mm": 1.0,
    }  # fmt: skip
    path = folder / "volume.yaml"
    path.write_text(yaml.safe_dump(fields))
    read = read_pipeline(path)
    assert isinstance(read, RestorePipeline)
    return read


def measure(memory: int, folder: Path, side: int = SIDE, slices: int = SLICES) -> str:
    """Restore a volume and say what it took."""
    x, y, z = (
        np.linspace(-1, 1, n, dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, n in enumerate((side, side, slices))
    )
    voxels = np.where(
        x**2 + y**2 + (z / 1.2) ** 2 < 0.8, 100 + 30 * np.cos(5 * x) * np.cos(4 * y), 0
    ).astype(np.float32)
    scan = scan_from_array(voxels, np.eye(4), source=Source("volume"))
    start = time.monotonic()

    def show(now: Progress) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{now.samples_done}/{now.samples} ")

    options = RunOptions(memory=memory, storage=Storage(keep="thin", keepbits=7))
    out = restore(pipeline(folder, side), scan, folder / "volume.h5", options, progress=show)
    peak = peak_memory()
    return (
        f"{side} x {side} x {slices}, {DRAWS} draws: {peak / 2**30:.2f} GiB at most, "
        f"{peak / memory:.0%} of the budget; {time.monotonic() - start:.0f} s, file "
        f"{out.stat().st_size / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    size, *shape = sys.argv[1:] or ["2GiB"]
    with tempfile.TemporaryDirectory() as scratch:
        sys.stdout.write(measure(read_size(size), Path(scratch), *map(int, shape)) + "\n")
