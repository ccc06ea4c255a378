"""Posterior of region means against the truth, person by person.

``python -m tests.benchmarks.regions DATA`` restores five slices of the bundled scan and of people
of ``ixi_volumes.h5`` (group ``test``), and prints how far means of regions are from the reference.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.reports.findings import find
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore
from uqrestore.scans import Scan, Source, demo_scan_path, read_scan, scan_from_array

PIPELINE, DRAWS, SLICES, PEOPLE = "brain-cs4-invfussion", 16, 5, 5


def scans(data: Path) -> Iterator[tuple[str, Scan]]:
    """Yield the bundled scan, then people of the test group by their number."""
    yield "bundled", read_scan(demo_scan_path())
    with h5py.File(data / "ixi_volumes.h5") as file:
        group: h5py.Group = file["test"]  # type: ignore[assignment]
        for name in list(group)[:PEOPLE]:
            person: h5py.Group = group[name]  # type: ignore[assignment]
            t1, mask = (np.asarray(person[key]) for key in ("t1", "brain_mask"))
            source = Source(f"{name}.nii.gz", "NIfTI", space_code=1)
            voxels = t1.astype(np.float32) * (1000 / 255)
            affine = np.diag([2.0, 2.0, 2.0, 1.0])
            yield name[:6], scan_from_array(voxels, affine, mask=mask > 0, source=source)


def main() -> None:
    """Print one line a person and region."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    pipeline = load_pipeline(PIPELINE, RestorePipeline)
    pipeline = change(pipeline, draws=DRAWS, components=0, baseline=None)
    with tempfile.TemporaryDirectory() as folder:
        for name, scan in scans(data):
            out = Path(folder) / f"{name}.posterior.h5"
            restore(pipeline, scan, out, RunOptions(slices=SLICES, resample=name != "bundled"))
            for region in find(out).regions[:2]:
                low, high = region.interval
                truth = float(region.truth or 0)
                where = "inside" if low <= truth <= high else "outside"
                error = 100 * (region.estimate / truth - 1)
                print(f"{name}, {region.name}: {error:+.2f} %, {where}")  # noqa: T201


if __name__ == "__main__":
    main()
