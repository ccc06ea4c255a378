"""Page and picture of ``tests.benchmarks.lesions``, from the numbers of every slice."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from tests.benchmarks.lesion_priors import PRIORS
from tests.benchmarks.small import DOCS
from uqrestore.diagnostics.bootstrap import Estimate, scene_bootstrap

SIZES = {"below 1 cm²": (0.0, 1.0), "1 to 5 cm²": (1.0, 5.0), "above 5 cm²": (5.0, np.inf)}
SHOWN = (("k-space R = 8", "one line in 8"), ("hidden", "lesion hidden"))
NAMES = {
    "k-space R = 4": "k-space, one line in 4",
    "k-space R = 8": "k-space, one line in 8",
    "a quarter measured": "in-painting, a quarter measured",
    "half measured": "in-painting, one side measured",
    "hidden": "in-painting, nothing measured",
}
RIVAL = "total variation"
LEAST = 0.1
"""Contrast, of a range of 2, below which its share is not stated."""


def kept(row: Mapping[str, Any], chosen: np.ndarray) -> Estimate:
    """Return the contrast of the mean over the true one, summed over slices."""
    true, found = (np.array(row[name]) for name in ("contrast", "contrast of the mean"))
    use = chosen & (true > LEAST)
    true, found = true[use], found[use]
    people = np.array(row["people"])[use]
    return scene_bootstrap(lambda w: (w @ found) / (w @ true), len(true), groups=people)


def share(row: Mapping[str, Any], name: str, chosen: np.ndarray) -> Estimate:
    """Return the mean of a number a slice."""
    values = np.array(row[name], dtype=float)[chosen]
    people = np.array(row["people"])[chosen]
    return scene_bootstrap(lambda w: w @ values, len(values), groups=people)


def percent(estimate: Estimate) -> str:
    """Write a share with its interval over people."""
    low, value, high = (100 * v for v in (estimate.low, estimate.value, estimate.high))
    return f"{value:.0f} % ({low:.0f} to {high:.0f})"


def measured(record: Mapping[str, Any], case: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return title and numbers of each prior that a case is measured for."""
    return [(t, record[kind][case]) for kind, t in PRIORS.items() if case in record.get(kind, {})]


def whole(record: Mapping[str, Any]) -> list[str]:
    """Return the table over all slices."""
    lines = []
    for case, name in NAMES.items():
        for title, row in measured(record, case):
            everyone = np.ones(len(row["people"]), dtype=bool)
            here = np.array(row["mirrored pixels"]) > 0
            wider = np.array(row["lesion pixel std"])[here]
            wider = float(np.median(wider / np.array(row["mirrored pixel std"])[here]))
            cells = [
                percent(kept(row, everyone)),
                percent(share(row, "lesion inside", everyone)),
                percent(share(row, "mirrored inside", here)),
                percent(share(row, "draws with half of it", np.array(row["contrast"]) > LEAST)),
                f"{wider:.2f}",
            ]
            lines.append(f"| {name} | {title} | " + " | ".join(cells) + " |")
        if (row := record.get(RIVAL, {}).get(case)) is not None:
            everyone = np.ones(len(row["people"]), dtype=bool)
            lines.append(f"| {name} | none: {RIVAL} | {percent(kept(row, everyone))} | | | | |")
    return lines


def by_size(record: Mapping[str, Any], areas: np.ndarray) -> list[str]:
    """Return the table by the area of the lesion."""
    lines = []
    for case, name in NAMES.items():
        for title, row in measured(record, case):
            cells = []
            for low, high in SIZES.values():
                chosen = (areas >= low) & (areas < high)
                inside = 100 * share(row, "lesion inside", chosen).value
                cells.append(f"{100 * kept(row, chosen).value:.0f} %, {inside:.0f} %")
            lines.append(f"| {name} | {title} | " + " | ".join(cells) + " |")
    return lines


def flags(record: Mapping[str, Any]) -> list[str]:
    """Return the table of held-out data: how often a slice contradicts its draws."""
    lines = []
    for kind, title in PRIORS.items():
        found = record.get(kind, {}).get("flags")
        if found is None:
            continue
        cells = []
        for ranks in (found["lesion"], found["none"]):
            values = np.array(ranks)
            cells.append(f"{(values <= 0.05).sum()} of {len(values)}")
        ill, well = (np.array(found[name]) for name in ("lesion", "none"))
        above = (ill[:, None] < well).mean() + 0.5 * (ill[:, None] == well).mean()
        lines.append(f"| {title} | {' | '.join(cells)} | {above:.2f} |")
    return lines


def findings(record: Mapping[str, Any]) -> str:
    """Return what the tables say, once both priors are measured."""
    if any(case not in record.get(kind, {}) for kind in PRIORS for case in NAMES):
        return ""
    values = {}
    for key, case in (("r4", "k-space R = 4"), ("r8", "k-space R = 8"), ("hidden", "hidden")):
        for kind in PRIORS:
            row = record[kind][case]
            everyone = np.ones(len(row["people"]), dtype=bool)
            values[f"{key}_{kind}"] = f"{100 * kept(row, everyone).value:.0f} %"
            inside = share(row, "lesion inside", everyone).value
            values[f"{key}_{kind}_inside"] = f"{100 * inside:.0f} %"
    return FINDINGS.format(**values)


def page(record: Mapping[str, Any], areas: np.ndarray, samples: int) -> str:
    """Return the page."""
    counts = [((areas >= low) & (areas < high)).sum() for low, high in SIZES.values()]
    sizes = [f"{name} ({count})" for name, count in zip(SIZES, counts, strict=True)]
    return PAGE.format(
        count=len(areas),
        samples=samples,
        whole="\n".join(whole(record)),
        heads=" | ".join(sizes),
        sizes="\n".join(by_size(record, areas)),
        flags="\n".join(flags(record)),
        findings=findings(record),
    )


def picture(truth: Tensor, lesion: np.ndarray, shown: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Show three slices with a lesion: truth, and mean and one draw of each prior."""
    from matplotlib.figure import Figure

    order = np.argsort(lesion.sum((1, 2)))
    rows = [order[round(share * (len(order) - 1))] for share in (0.35, 0.6, 0.85)]
    titles = ["truth"]
    titles += [f"{where}\n{PRIORS[kind]}, {what}" for _, where in SHOWN for kind in PRIORS
               for what in ("mean", "a draw")]  # fmt: skip
    figure = Figure(figsize=(1.5 * len(titles), 1.75 * len(rows) + 0.4), layout="constrained")
    for line, i in zip(figure.subplots(len(rows), len(titles)), rows, strict=True):
        images = [truth[i, 0]]
        for case, _ in SHOWN:
            for kind in PRIORS:
                draws = shown[case][kind][:, i, 0]
                images += [draws.mean(0), draws[0]]
        for axis, image, title in zip(line, images, titles, strict=True):
            axis.imshow(image.numpy(), cmap="gray", vmin=-1, vmax=1, origin="lower")
            axis.contour(lesion[i], [0.5], colors="tab:red", linewidths=0.7)
            axis.set(xticks=[], yticks=[])
            if i == rows[0]:
                axis.set_title(title, fontsize=7)
    figure.savefig(DOCS / "images" / "lesions.png", dpi=110)


FINDINGS = """## What follows

- **With one line in four a lesion is seen** with either prior ({r4_without} and {r4_with} of its
  contrast), but weaker than it is, and its true mean is inside the interval in {r4_without_inside}
  and {r4_with_inside} of the slices: do not quote the interval of a lesion's mean without a
  calibration on such patients ([how to](how-to/calibrate.md#means-of-structures)).
- **With one line in eight about half of the contrast is gone** ({r8_without} and {r8_with} left),
  most of it whatever the prior has seen: so few lines do not hold it. What lesions in the training
  change is the honesty of the spread: the true mean is inside in {r8_with_inside} instead of
  {r8_without_inside}.
- **Where nothing is measured the prior fills in what it knows** ({hidden_without} and {hidden_with}
  of the contrast). An in-painted region is no evidence that there is no lesion.
- **Nothing warns**: neither the scope check nor held-out data tell slices with a lesion from
  others.

For work on pathology, train the prior and fit its error model on people who have it, look at single
draws and not only at their mean, measure more, and calibrate on patients.
"""

PAGE = """# Does a prior hide lesions?

A prior that has never seen a lesion may remove one, or the spread of its draws may show that it is
not certain. Two priors of FLAIR slices (64 x 64 at 3 mm; SOOP, CC0) were trained equally, both from
the weights of `brain64-prior`, on {samples} images: one on the 342 training slices in which no
stroke was outlined, the other on 342 slices drawn evenly from all, three in five of which show one.
Old lesions and white-matter disease are not outlined, so that the first has seen some. Each has
an error model of validation people of its own kind, so the first has not met a stroke there either.

`python -m tests.benchmarks.lesions DATA FOLDER`: {count} slices of other people, each with a stroke
of at least 36 mm². Noise 0.05 of a range from -1 to 1; 19 draws of `fitted_gaussian`; k-space is of
one coil, and in-painting hides the lesion with 9 mm around it. Intervals in brackets are of 95 %,
over people.

- **Contrast kept**: mean of the lesion less the mean of the brain around it, in the mean of the
  draws, over the same in the truth.
- **Inside**: how often the true mean of the region lies within the smallest and the largest of the
  19 draws, 90 % for a region that is chosen without looking. Lesions are outlined *because* they
  are bright, so even an ideal sampler holds fewer of them; the same region mirrored to the other
  side of the brain has no such choice.
- **Draws show it**: draws with at least half of the true contrast.
- **Wider**: standard deviation of a pixel in the lesion over that in the mirrored region, which in
  in-painting is measured.

Total variation has the weight that is best for each slice, chosen with the reference; it has no
draws.

| measurement | prior | contrast kept | lesion inside | mirrored inside | draws show it | wider |
|---|---|---|---|---|---|---|
{whole}

## By size

Contrast kept, and how often the lesion is inside.

| measurement | prior | {heads} |
|---|---|---|---|---|
{sizes}

```{{image}} images/lesions.png
:alt: Slices with strokes, and what two priors make of them
```

Three slices (SOOP, CC0): the outline is that of the provider. At one line in eight, three of them
in the centre, single draws hold shapes that no brain has, bright halves and holes: so little is
measured that large structures are left to an error model that knows only how large errors are, and
its gain was chosen at one line in four. The mean averages them out; the contrast that it loses is
lost for that reason too.

## Does anything warn?

The scope check compares pixel size, anatomy, plane and contrast, and cannot see a lesion. The test
by held-out data can: a fifth of the columns of k-space (R = 4) is held out, and the measurement is
ranked among what 19 draws predict of it. In the table: slices whose measurement is farther from the
draws than every draw is from the others (1 in 20 by chance), and the probability that a slice with
a lesion ranks farther than one without (0.5: no warning at all).

| prior | with a stroke | without | probability |
|---|---|---|---|
{flags}

{findings}"""
