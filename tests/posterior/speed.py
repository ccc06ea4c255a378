"""How fast and how large posterior files are written: ``python -m tests.posterior speed``.

Processor time, so that neither the disk nor what else runs matters; compression is most of it.
"""

import shutil
import time
from pathlib import Path

import h5py
import numpy as np

from uqrestore.posterior import PosteriorWriter, Storage
from uqrestore.posterior._layout import FILTERS
from uqrestore.posterior.example import example_plan

DRAWS, SLICES, SIDE = 32, 24, 128
TURNS = 5
STORAGES = {
    "all draws, all bits (default)": Storage(),
    "all draws, 10 bits": Storage(keepbits=10),
    "all draws, 7 bits": Storage(keepbits=7),
    "8 draws, all bits": Storage(keep="thin"),
    "8 draws, 7 bits": Storage(keep="thin", keepbits=7),
    "no draws": Storage(keep="none"),
}


def smooth_draws() -> np.ndarray:
    """Return draws that look like a scan's: a smooth image, and spread of a fiftieth of it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    mean = 1000 * np.exp(-2 * (x**2 + y**2)) * (1 + 0.2 * np.cos(9 * x) * np.cos(7 * y))
    noise = rng.standard_normal((DRAWS, SLICES, 1, SIDE, SIDE)).astype(np.float32)
    return (mean + 20 * noise).astype(np.float32)


def bare(path: Path, images: np.ndarray) -> float:
    """Return the processor seconds that h5py alone takes for the same arrays, chunks and filters.

    Beside the draws a file holds the mean, their spread and the measurement.
    """
    maps = {name: images[0, :, 0] + k for k, name in enumerate(("mmse", "std", "y"))}
    start = time.process_time()
    with h5py.File(path, "w") as file:
        values = file.create_dataset(
            "image", (1, DRAWS, SLICES, SIDE, SIDE), "<f4", chunks=(1, 1, 1, SIDE, SIDE), **FILTERS
        )
        for draw in range(DRAWS):
            for k in range(SLICES):
                values[0, draw, k] = images[draw, k, 0]
        for name, volume in maps.items():
            file.create_dataset(name, data=volume, chunks=(1, SIDE, SIDE), **FILTERS)
    return time.process_time() - start


def ours(path: Path, images: np.ndarray, storage: Storage) -> float:
    """Return the processor seconds of writing the draws and the finished file."""
    slices = tuple(range(SLICES))
    plan = example_plan(draws=DRAWS, slices=slices, shape=(SIDE, SIDE))
    with PosteriorWriter(path, plan, overwrite=True) as writer:
        start = time.process_time()
        for draw in range(DRAWS):
            writer.write([draw], slices, images[draw : draw + 1])
        spent = time.process_time() - start
        summary = writer.summarise(components=0, quantiles=())
        start = time.process_time()
        writer.finish(summary, storage=storage)
        return spent + time.process_time() - start


def table(folder: Path) -> str:
    """Return the rows of the table in the docs; the least of several turns, taken in turn."""
    folder.mkdir(exist_ok=True)
    images, path = smooth_draws(), folder / "out.h5"
    raw = images.nbytes / 1e6
    alone, spent, sizes = [], {name: [] for name in STORAGES}, {}
    for _ in range(TURNS):
        alone.append(bare(folder / "bare.h5", images))
        for name, storage in STORAGES.items():
            spent[name].append(ours(path, images, storage))
            sizes[name] = path.stat().st_size / images.nbytes
    lines = [
        f"{raw:.1f} MB of draws; bare h5py {raw / min(alone):.0f} MB/s",
        "| kept | size / raw | write, MB/s | of bare h5py |",
        "|---|---|---|---|",
    ]
    for name, seconds in spent.items():
        share = min(alone) / min(seconds)
        lines.append(f"| {name} | {sizes[name]:.2f} | {raw / min(seconds):.0f} | {share:.0%} |")
    shutil.rmtree(folder, ignore_errors=True)
    return "\n".join(lines)
