"""Region means of people whose truth is known, and the intervals that a guarantee gives them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uqrestore.conformal.guarantee import Guarantee
from uqrestore.conformal.region_means import PersonRegions, calibrate_regions, region_setting
from uqrestore.conformal.scope import Setting, setting_of
from uqrestore.diagnostics.scenes import scene_keys
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.view import images_of
from uqrestore.reports.contents import Contents
from uqrestore.reports.labels import labelled_regions
from uqrestore.reports.read import read_contents
from uqrestore.reports.regions import LEAST_PIXELS, measure_regions


def calibrate_labelled(
    files: Sequence[Path], labels: str, names: str | None = None, *, alpha: float = 0.1
) -> Guarantee:
    """Make a guarantee for the means of labelled regions of new people.

    Args:
        files: Finished posterior files with truth, one a person.
        labels: Label volume of each, with ``{}`` for the name of the file without
            ``.posterior.h5``, such as ``labels/{}_roi.nii.gz``.
        names: Names of the numbers; see :func:`uqrestore.reports.labels.region_names`.
        alpha: Probability that the true mean of a region of a new person is outside.

    Raises:
        PosteriorError: If a file is not finished or holds no truth, or its labels do not fit.
        ValueError: If the name of the labels is the same for all, or there are too few people.
    """
    if "{}" not in labels:
        raise ValueError(
            f"labels {labels!r} are the same for every person; write {{}} where the name of the "
            "posterior file belongs, such as labels/{}_roi.nii.gz."
        )
    people = [
        person_regions(
            path, Path(labels.replace("{}", path.name.removesuffix(".posterior.h5"))), names
        )
        for path in files
    ]
    return calibrate_regions(people, alpha=alpha)


def person_regions(path: Path, labels: Path, names: str | None) -> PersonRegions:
    """Return how far the means of a person's regions are from those of the draws.

    Raises:
        PosteriorError: If the file is not finished or holds no truth, or the labels do not fit.
    """
    if not labels.is_file():
        raise PosteriorError(f"{labels}: no such file; it should hold the regions of {path}.")
    contents = read_contents(path)
    with contents.file:
        if not contents.file.complete or not contents.draws:
            raise PosteriorError(f"{path}: is not finished, or keeps no draws; restore it first.")
        if "truth" not in contents.maps:
            raise PosteriorError(
                f"{path}: holds no truth, so nothing can be compared with it; calibrate with "
                "simulated acquisitions of scans that are known."
            )
        voxels = labelled_regions(contents, labels, names)
        regions = measure_regions(contents, voxels, contents.draws)
        setting = setting_of_contents(contents)
    scores = {}
    for region in regions:
        if region.voxels >= LEAST_PIXELS and region.truth is not None:
            std = float(region.values.std(ddof=1))
            away = abs(region.truth - region.estimate)
            scores[region.name] = away / std if std > 0 else np.inf
    return PersonRegions(scores, setting, len(contents.z))


def setting_of_contents(contents: Contents) -> Setting:
    """Return measurement and restoration of a file, with the hashes of its slices where known."""
    file, keys = contents.file, ()
    truth = file.find("reference/truth")
    if truth is not None:
        keys = scene_keys(file.intensity.to_network(images_of(truth)).astype(np.float32))
    rows, columns = (abs(float(axis[1] - axis[0])) for axis in (contents.y, contents.x))
    return setting_of(
        contents.provenance, contents.operator, contents.planned, (rows, columns), keys
    )


def region_widths(guarantee: Guarantee, contents: Contents) -> dict[str, float]:
    """Return the half-width of the interval of each region, in standard deviations.

    Raises:
        OutOfScopeError: If the guarantee does not hold for this file.
        PosteriorError: If the file is not finished: fewer draws make other intervals.
        ValueError: If it is not one of region means.
    """
    if guarantee.method != "region_means":
        raise ValueError(
            f"the guarantee is of {guarantee.method}, not of region means; a report takes one made "
            "by 'uqrestore calibrate --method region_means'."
        )
    if not contents.file.complete:
        raise PosteriorError(
            f"{contents.path}: is not finished, so the guarantee does not hold for it; run its "
            "restoration to the end."
        )
    guarantee.check(region_setting(setting_of_contents(contents), len(contents.z)))
    return dict(guarantee.widths)
