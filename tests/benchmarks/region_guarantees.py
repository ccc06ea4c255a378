"""Guaranteed region means on new people.

``python -m tests.benchmarks.region_guarantees DATA FOLDER`` restores five slices of the 23
validation and 16 test people of ``ixi_volumes.h5``, makes a guarantee of the means of their
labelled structures on the first, and counts how often it holds for the second. FOLDER keeps the
posterior files, so that a stopped run goes on. Writes ``docs/benchmarks-regions.md``.
"""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from scipy import stats

from tests.benchmarks.small import DOCS
from uqrestore.cli.terminal import say
from uqrestore.conformal.guarantee import Guarantee
from uqrestore.conformal.region_means import PersonRegions
from uqrestore.diagnostics.bootstrap import scene_bootstrap
from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.posterior.intervals import percent
from uqrestore.reports.region_study import calibrate_labelled, person_regions
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore
from uqrestore.scans import Source, scan_from_array

PIPELINES = ("brain-cs4-invfussion",)
DRAWS, SLICES, ALPHA = 19, 5, 0.1
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
NORMAL = 1.645
"""Half-width of a 90 % interval of a normal distribution, in standard deviations."""


def restored(data: Path, folder: Path, pipeline: str, split: str) -> list[Path]:
    """Return the posterior files of the people of a split, with their labels beside them."""
    import nibabel

    plan = load_pipeline(pipeline, RestorePipeline)
    plan = change(plan, draws=DRAWS, components=0, baseline=None)
    home, found = folder / pipeline / split, []
    home.mkdir(parents=True, exist_ok=True)
    with h5py.File(data / "ixi_volumes.h5") as file:
        group: h5py.Group = file[split]  # type: ignore[assignment]
        for name in group:
            out = home / f"{name}.posterior.h5"
            found.append(out)
            if out.exists():
                continue
            person: h5py.Group = group[name]  # type: ignore[assignment]
            t1, mask, roi = (np.asarray(person[key]) for key in ("t1", "brain_mask", "roi"))
            nibabel.save(nibabel.Nifti1Image(roi, AFFINE), home / f"{name}_roi.nii.gz")
            voxels = t1.astype(np.float32) * (1000 / 255)
            source = Source(f"{name}.nii.gz", "NIfTI", space_code=1)
            scan = scan_from_array(voxels, AFFINE, mask=mask > 0, source=source)
            restore(plan, scan, out, RunOptions(slices=SLICES, resample=True))
            say(f"{pipeline}: {split} {name}")
    return found


def labels_of(path: Path) -> Path:
    """Return the labels of a posterior file."""
    return path.with_name(path.name.replace(".posterior.h5", "_roi.nii.gz"))


def row(pipeline: str, guarantee: Guarantee, people: dict[str, PersonRegions]) -> str:
    """Return what new people make of a guarantee, and of intervals of the draws alone."""
    missed, plain, groups, by_region = [], [], [], {}
    for number, one in enumerate(people.values()):
        for name, score in one.scores.items():
            if name in guarantee.widths:
                outside = score > guarantee.widths[name]
                missed.append(outside)
                plain.append(score > NORMAL)
                groups.append(number)
                by_region.setdefault(name, []).append(outside)
    calibrated = guarantee.units
    rank = int(np.ceil((calibrated + 1) * (1 - ALPHA)))
    least = calibrated + 1 - rank
    beyond = [
        stats.betabinom.sf(sum(few) - 1, len(few), least, rank) < 0.05 for few in by_region.values()
    ]
    cells = [
        share(missed, groups),
        share(plain, groups),
        f"{np.median(list(guarantee.widths.values())) / NORMAL:.2f}",
        f"{sum(beyond)} of {len(beyond)}",
    ]
    return f"| `{pipeline}` | " + " | ".join(cells) + " |"


def share(outside: list[bool], groups: list[int]) -> str:
    """Write a share with its interval over people."""
    values = np.array(outside, float)
    found = scene_bootstrap(lambda w: w @ values, len(values), groups=np.array(groups))
    return f"{percent(found.value)} ({percent(found.low)} to {percent(found.high)})"


def by_kind(guarantee: Guarantee, people: dict[str, PersonRegions], data: Path) -> list[str]:
    """Return how often regions are missed in young and old people, women and men."""
    with (data / "ixi_people.csv").open() as file:
        about = {line["subject"]: line for line in csv.DictReader(file)}
    ages = {name: float(about[name]["age"]) for name in people}
    low, high = np.quantile(list(ages.values()), [1 / 3, 2 / 3])
    kinds: dict[str, Callable[[str], bool]] = {
        f"below {low:.0f} years": lambda name: ages[name] < low,
        f"{low:.0f} to {high:.0f} years": lambda name: low <= ages[name] <= high,
        f"above {high:.0f} years": lambda name: ages[name] > high,
    }
    for sex in sorted({about[name]["sex"] for name in people}):
        kinds[f"sex {sex}"] = lambda name, sex=sex: about[name]["sex"] == sex
    lines = []
    for kind, of_kind in kinds.items():
        chosen = [one for name, one in people.items() if of_kind(name)]
        outside, groups = [], []
        for number, one in enumerate(chosen):
            for name, score in one.scores.items():
                if name in guarantee.widths:
                    outside.append(score > guarantee.widths[name])
                    groups.append(number)
        lines.append(f"| {kind} | {len(chosen)} | {share(outside, groups)} |")
    return lines


def main() -> None:
    """Restore, calibrate, count, write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    rows, kinds, sizes = [], [], []
    for pipeline in PIPELINES:
        held = restored(given.data, given.folder, pipeline, "val")
        new = restored(given.data, given.folder, pipeline, "test")
        pattern = str(held[0].parent / "{}_roi.nii.gz")
        guarantee = calibrate_labelled(held, pattern, "dlmuse", alpha=ALPHA)
        guarantee.save(given.folder / f"{pipeline}.json")
        people = {path.name[:-13]: person_regions(path, labels_of(path), "dlmuse") for path in new}
        rows.append(row(pipeline, guarantee, people))
        sizes = [len(held), len(new), len(guarantee.widths)]
        kinds = kinds or by_kind(guarantee, people, given.data)
        text = PAGE.format(
            rows="\n".join(rows), kinds="\n".join(kinds), held=sizes[0], new=sizes[1],
            regions=sizes[2], draws=DRAWS, slices=SLICES, first=PIPELINES[0],
        )  # fmt: skip
        (DOCS / "benchmarks-regions.md").write_text(text)
        say(text)


PAGE = """# Means of structures with a guarantee

An interval of pixels that holds says nothing about the mean of a structure: errors of neighbouring
pixels go together. `uqrestore calibrate --method region_means` therefore measures, on people whose
truth is known, how many standard deviations of the draws' means the true mean of each structure is
away, and gives every structure the width that 90 % of new people need (split conformal prediction;
[how to](how-to/calibrate.md)).

`python -m tests.benchmarks.region_guarantees DATA FOLDER`: calibrated on {held} validation people
of IXI, tested on {new} others; {slices} slices of each at 3 mm, one line of k-space in four, {draws}
draws; {regions} structures (DLMUSE), outlined on the fully sampled image in either group. With
{held} people the promised 90 % are 91.7 %, that is 22 of 24. Intervals in brackets are of 95 %, over
people.

| pipeline | missed by the guarantee | missed by 90 % of the draws' means | median width, times that of the draws | structures missed too often, 5 % by chance |
|---|---|---|---|---|
{rows}

The last column counts the structures that so many new people miss as fewer than one calibration in
twenty would explain (beta-binomial distribution).

## For whom

Missed by the guarantee of `{first}`:

| test people | number | missed |
|---|---|---|
{kinds}

One scanner, healthy adults: another site needs a calibration of its own.
"""  # noqa: E501 - a table


if __name__ == "__main__":
    main()
