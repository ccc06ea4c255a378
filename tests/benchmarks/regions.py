"""Posterior of region means against the truth, person by person.

``python -m tests.benchmarks.regions DATA`` restores five slices of the bundled scan and of people
of ``ixi_volumes.h5`` (group ``test``), and prints how far means of regions are from the reference,
and, of the structures labelled there, where the reference lies along their principal components.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.reports.findings import find
from uqrestore.reports.labels import labelled_regions
from uqrestore.reports.read import read_contents
from uqrestore.reports.regions import measure_regions
from uqrestore.reports.varying import Varying, varying_regions
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore
from uqrestore.scans import Scan, Source, demo_scan_path, read_scan, scan_from_array

PIPELINE, DRAWS, SLICES, PEOPLE = "brain-cs4-invfussion", 32, 5, 5
FEWEST = 12
"""Pixels of a structure, of 9 mm^2 each, of which components are found."""
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def scans(data: Path, folder: Path) -> Iterator[tuple[str, Scan, Path | None]]:
    """Yield the bundled scan, then people of the test group by their number, with their labels."""
    import nibabel

    yield "bundled", read_scan(demo_scan_path()), None
    with h5py.File(data / "ixi_volumes.h5") as file:
        group: h5py.Group = file["test"]  # type: ignore[assignment]
        for name in list(group)[:PEOPLE]:
            person: h5py.Group = group[name]  # type: ignore[assignment]
            t1, mask = (np.asarray(person[key]) for key in ("t1", "brain_mask"))
            source = Source(f"{name}.nii.gz", "NIfTI", space_code=1)
            voxels = t1.astype(np.float32) * (1000 / 255)
            labels = folder / f"{name}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(np.asarray(person["roi"]), AFFINE), labels)
            scan = scan_from_array(voxels, AFFINE, mask=mask > 0, source=source)
            yield name[:6], scan, labels


def structures(path: Path, labels: Path) -> list[Varying]:
    """Return the components of the labelled structures of a restored scan."""
    contents = read_contents(path)
    voxels = labelled_regions(contents, labels, "dlmuse")
    regions = measure_regions(contents, voxels, contents.draws)
    found = [varying_regions(contents, [region], voxels, contents.draws) for region in regions]
    return [one for few in found for one in few if one.found.region.sum() >= FEWEST]


def summary(found: dict[str, list[Varying]], whole: list[float]) -> str:
    """Return what the components of structures hold, and where the reference lies along them."""
    every = [one for few in found.values() for one in few]
    shares = np.array([one.found.explained for one in every])
    people = [[one.truth for one in few if one.truth is not None] for few in found.values()]
    squares = np.array([(np.array(truths) ** 2).mean(0) for truths in people]) * DRAWS / (DRAWS + 1)
    lines = [f"{len(every)} structures of {len(found)} people, median of {DRAWS} draws:"]
    for k in range(shares.shape[1]):
        each = ", ".join(f"{value:.2f}" for value in squares[:, k])
        lines.append(
            f"component {k + 1}: {100 * np.median(shares[:, k]):.0f} % of the variance of the "
            f"structure; squared coefficient of the reference {squares[:, k].mean():.2f} "
            f"(1 for an ideal sampler; by person {each})"
        )
    lines.append(f"first component of a whole slice: {100 * np.median(whole):.1f} %")
    return "\n".join(lines)


def main() -> None:
    """Print one line a person and region."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    pipeline = load_pipeline(PIPELINE, RestorePipeline)
    pipeline = change(pipeline, draws=DRAWS, components=1, baseline=None)
    found: dict[str, list[Varying]] = {}
    whole: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, scan, labels in scans(data, Path(folder)):
            out = Path(folder) / f"{name}.posterior.h5"
            restore(pipeline, scan, out, RunOptions(slices=SLICES, resample=name != "bundled"))
            whole += [float(share) for share in find(out).contents.explained]
            if labels is not None:
                found[name] = structures(out, labels)
            for region in find(out).regions[:2]:
                low, high = region.interval
                truth = float(region.truth or 0)
                where = "inside" if low <= truth <= high else "outside"
                error = 100 * (region.estimate / truth - 1)
                print(f"{name}, {region.name}: {error:+.2f} %, {where}", flush=True)  # noqa: T201
    print(summary(found, whole))  # noqa: T201


if __name__ == "__main__":
    main()
