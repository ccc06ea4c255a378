"""Sparse-view CT of a person whom no training saw, in Hounsfield units.

``python -m tests.benchmarks.ct DATA`` writes ``docs/benchmarks-ct.md``; DATA is the folder of the
training data, of which only the group ``test`` is read.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch

from tests.front import read
from uqrestore.operators import Radon
from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.posterior import read_operator
from uqrestore.posterior.intervals import central_interval, percent
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore
from uqrestore.scans import Scan, Source, scan_from_array
from uqrestore.zoo import load_card

PIPELINE = "ct-sparse-view-ssd"
FILE, PIXEL_MM, SLICE_MM = "ct_slices_128.h5", 3.125, 5.0
DRAWS, LEVEL = 8, 0.9
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks-ct.md"


def read_person(folder: Path) -> Scan:
    """Return the test person's slices as a scan in HU."""
    with h5py.File(folder / FILE) as file:
        values = 2000 * np.asarray(file["test/ct"], np.float32) - 1000
    affine = np.diag([PIXEL_MM, PIXEL_MM, SLICE_MM, 1.0])
    return scan_from_array(values.transpose(2, 1, 0), affine, source=Source("test person"))


def read_images(path: Path) -> dict[str, np.ndarray]:
    """Return truth, mask, draws and sinogram of a posterior file."""
    names = {
        "truth": "reference/truth",
        "least squares": "reference/zero_filled",
        "draws": "posterior/image",
        "mask": "constant_data/brain_mask",
        "y": "observed_data/y",
        "residual": "sample_stats/residual",
    }
    images = {name: read(path, place) for name, place in names.items()}
    return images | {"draws": images["draws"][0], "mask": images["mask"].astype(bool)}


def table(images: dict[str, np.ndarray], radon: Radon) -> list[str]:
    """Return the rows: root mean square error in the body, in HU."""
    truth, mask, draws = images["truth"], images["mask"], images["draws"]
    # Filtered back-projection of what lies above air, which is 0 outside of the image.
    air = radon(torch.full((1, *truth.shape[-2:]), -1000.0))
    fbp = radon.fbp(torch.as_tensor(images["y"]) - air).numpy()[:, 0] - 1000

    def rmse(image: np.ndarray) -> float:
        return float(np.sqrt(np.square(image - truth)[mask].mean()))

    interval = central_interval(len(draws), LEVEL)
    low, high = interval.of(draws)
    covered = float(((low <= truth) & (truth <= high))[mask].mean())
    return [
        "| image | error in the body, HU |",
        "|---|---|",
        f"| filtered back-projection | {rmse(fbp):.1f} |",
        f"| minimum-norm least squares | {rmse(images['least squares']):.1f} |",
        f"| one draw | {np.mean([rmse(draw) for draw in draws]):.1f} |",
        f"| mean of {len(draws)} draws | **{rmse(draws.mean(0)):.1f}** |",
        "",
        f"Central intervals of {interval.name} ({interval.ends}) hold {percent(covered)} of the "
        "pixels. Largest "
        f"`||Ax - y|| / ||y||`: {images['residual'].max():.0e}.",
    ]


def write(folder: Path, slices: int) -> Path:
    """Restore slices of the test person and write the page."""
    training = load_card("ct64-prior").training
    plan = change(load_pipeline(PIPELINE, RestorePipeline), draws=DRAWS)
    with tempfile.TemporaryDirectory() as scratch:
        out = restore(plan, read_person(folder), Path(scratch) / "ct.h5", RunOptions(slices=slices))
        radon = read_operator(out)
        assert isinstance(radon, Radon)
        rows = table(read_images(out), radon)
    PAGE.write_text(
        "\n".join(
            [
                "# Sparse-view CT",
                "",
                f"{slices} slices of a thorax (128 x 128 pixels of {PIXEL_MM} mm, one person whom "
                f"no training saw), simulated parallel-beam projections from {len(radon.angles)} "
                f"directions without noise, {DRAWS} draws by `{PIPELINE}`. The prior, "
                f"`ct64-prior`, has seen {training.samples:,} windows of 216 slices of "
                "two people and a slab of a third: it shows that the method works, not that it is "
                "fit for patients.",
                "",
                *rows,
                "",
                "    python -m tests.benchmarks.ct DATA",
                "",
                "makes this page. A prior of calibrated units (`range` in its card) keeps them: "
                "scans are not stretched to their own brightest tissue, values beyond "
                "-1000 ... 1000 HU are cut, and the command prints how many. The mask is the body "
                "without the table. File and report are in HU.",
                "",
            ]
        )
    )
    return PAGE


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--slices", type=int, default=8)
    arguments = parser.parse_args()
    sys.stdout.write(write(arguments.data, arguments.slices).read_text())
