"""All that a report states, computed once: for the page, for machines, for the group page."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uqrestore.conformal.guarantee import Guarantee
from uqrestore.conformal.scope import setting_of
from uqrestore.posterior._hdf5 import short
from uqrestore.reports.contents import Contents
from uqrestore.reports.data_fit import DataFit, measure_data_fit
from uqrestore.reports.labels import labelled_regions
from uqrestore.reports.method_card import Calibration, SelfCheck, check_itself, find_calibration
from uqrestore.reports.parameters import ParameterPosterior, unknown_parameters
from uqrestore.reports.read import read_contents
from uqrestore.reports.region_study import region_widths
from uqrestore.reports.regions import (
    Region,
    default_regions,
    find_spots,
    measure_regions,
    regions_warning,
)
from uqrestore.reports.units import DisplayUnit, display_unit
from uqrestore.reports.varying import Varying, varying_regions
from uqrestore.reports.window import grey_window


@dataclass(frozen=True, eq=False)
class Findings:
    """Statements of a report on one posterior file.

    Attributes:
        contents: The file.
        window: Values shown as black and as white.
        unit: Unit in which the page shows intensities.
        fit: Data fit, or why it is unknown.
        calibration: Calibration of the method.
        check: Check of the intervals against the file's own reference image.
        regions: Posterior of the mean of each region.
        regions_warning: Why intervals of region means cannot be relied on; empty if they can.
        varying: Components of the regions that are structures.
        half_width: Mean half-width of the intervals of the pixels of the mask; None without draws.
        guarantee: Sentence of the calibrated guarantee that this file holds.
        region_guarantee: Sentence of the guarantee of region means that was given.
        parameters: Posterior of each unknown parameter of the measurement.
        warnings: Faults that the reader must know of.
        threshold: Intensity that the regions were compared with.
    """

    contents: Contents
    window: tuple[float, float]
    unit: DisplayUnit
    fit: DataFit | str
    calibration: Calibration
    check: SelfCheck | None
    regions: tuple[Region, ...]
    regions_warning: str
    varying: tuple[Varying, ...]
    half_width: float | None
    guarantee: str | None
    region_guarantee: str | None
    parameters: tuple[ParameterPosterior, ...]
    warnings: tuple[str, ...]
    threshold: float | None

    @property
    def has_images(self) -> bool:
        """True if there is a slice to show."""
        return self.contents.has_images

    @property
    def half_width_share(self) -> float | None:
        """Mean half-width as a share of the display window."""
        low, high = self.window
        return None if self.half_width is None else self.half_width / (high - low)


def find(
    path: Path,
    *,
    labels: Path | None = None,
    names: str | None = None,
    threshold: float | None = None,
    guarantee: Path | None = None,
) -> Findings:
    """Read a posterior file and compute what a report states about it.

    Args:
        path: The file, finished or partial.
        labels: Label volume on the scan's own grid; None takes regions of the report's own.
        names: Names of the labels: ``dlmuse``, ``freesurfer`` or a table; None takes a table
            beside the labels.
        threshold: Mean intensity of a region to compare with, in the unit of the file.
        guarantee: Guarantee of region means.

    Raises:
        PosteriorError: If the file is no sound posterior file, or the labels do not fit it.
        OutOfScopeError: If the guarantee does not hold for this file.
        ValueError: If it is not one of region means.
    """
    contents = read_contents(path)
    draws, warnings = contents.draws, []
    regions: tuple[Region, ...] = ()
    varying: tuple[Varying, ...] = ()
    promise = None if guarantee is None else Guarantee.load(guarantee)
    widths = {} if promise is None else region_widths(promise, contents)
    if not contents.has_images:
        warnings.append("No slice of this file has two draws yet, so there are no images.")
    elif not draws:
        warnings.append("No draw is written for every slice, so draws and regions are left out.")
    else:
        found = default_regions(contents)
        if labels is not None:
            found = labelled_regions(contents, labels, names) | find_spots(contents)
        regions = tuple(
            dataclasses.replace(region, width=widths.get(region.name))
            for region in measure_regions(contents, found, draws, threshold=threshold)
        )
        varying = varying_regions(contents, regions, found, draws)
    stated, warning = _guarantee(contents)
    if stated and contents.guaranteed is not None:
        low, high = contents.guaranteed
        maps = {**contents.maps, "low": low, "high": high}
        contents = dataclasses.replace(
            contents, maps=maps, interval="guaranteed", interval_level=None
        )
    if warning:
        warnings.append(warning)
    calibration = find_calibration(contents)
    window = (
        grey_window(contents.maps["mean"], contents.mask) if contents.has_images else (0.0, 1.0)
    )
    return Findings(
        contents=contents,
        window=window,
        unit=display_unit(max(map(abs, window)), contents.unit),
        fit=measure_data_fit(contents, draws),
        calibration=calibration,
        check=check_itself(contents),
        regions=regions,
        regions_warning=regions_warning(contents.provenance),
        varying=varying,
        half_width=_half_width(contents),
        guarantee=stated,
        region_guarantee=None if promise is None else promise.statement,
        parameters=unknown_parameters(contents),
        warnings=tuple(warnings),
        threshold=threshold,
    )


def _half_width(contents: Contents) -> float | None:
    mask, maps = contents.mask, contents.maps
    if not mask.any():
        return None
    return float((maps["high"] - maps["low"])[mask].mean(dtype=np.float64) / 2)


def _guarantee(contents: Contents) -> tuple[str | None, str]:
    """Return the guarantee of the file's intervals, or why it is not printed."""
    if contents.guarantee is None:
        return None, ""
    try:
        found = Guarantee.from_json(json.dumps(contents.guarantee))
        rows, columns = (abs(float(axis[1] - axis[0])) for axis in (contents.y, contents.x))
        setting = setting_of(
            contents.provenance, contents.operator, contents.planned, (rows, columns)
        )
        found.check(setting)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return None, f"The file's guarantee is not printed: {short(error)}"
    if found.method == "component_box":
        return f"{found.statement} The {found.size}.", ""
    return found.statement, ""
