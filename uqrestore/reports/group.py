"""Reports of many posterior files, and a page that compares them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from uqrestore._shared.files import write_text
from uqrestore._shared.version import __version__
from uqrestore.posterior._header import file_stem
from uqrestore.reports import svg
from uqrestore.reports.page import Written, environment, static, write_report
from uqrestore.reports.units import display_unit

PAGE, MACHINE = "group.report.html", "group.report.json"

# Name in the JSON, and of the data fit its kind: title, target, meaning.
METRICS: dict[str, tuple[str, float | None, str]] = {
    "half_width_share": (
        "Mean half-width of the intervals, share of the display range",
        None,
        "Width of the posterior.",
    ),
    "data_fit/chi2": (
        "Data fit: chi-square per measurement",
        1.0,
        "Target 1; above, the draws are farther from the data than the noise is.",
    ),
    "data_fit/relative": (
        "Data fit without noise: largest ||Ax - y|| / ||y||",
        0.0,
        "Target 0, to rounding.",
    ),
    "coverage_gap": (
        "Coverage of the intervals minus that of an ideal sampler, percentage points",
        0.0,
        "Where a reference image is known; below 0, the intervals are too narrow.",
    ),
    "error_over_std": (
        "Error of the mean over the spread of the draws",
        1.0,
        "Target 1; above, the spread is too small.",
    ),
    "psnr_mean": ("PSNR of the posterior mean, dB", None, "Where a reference image is known."),
    "seconds": ("Seconds spent on draws", None, ""),
}


@dataclass(frozen=True)
class GroupWritten:
    """Reports of several files.

    Attributes:
        reports: Report of every file that could be read.
        failures: Name and reason of every file that could not be read.
        page: Group page; None if fewer than two files were asked for.
    """

    reports: tuple[Written, ...]
    failures: tuple[tuple[str, str], ...]
    page: Path | None


def write_reports(
    paths: Sequence[Path],
    folder: Path | None = None,
    *,
    labels: Path | None = None,
    names: str | None = None,
    threshold: float | None = None,
    guarantee: Path | None = None,
    overwrite: bool = False,
    done: Callable[[Path], None] | None = None,
) -> GroupWritten:
    """Write a report of every file, and with two files or more a page over all.

    A file that cannot be read does not stop the others; the group page names it.

    Args:
        paths: Posterior files.
        folder: Where the pages go; None puts each beside its file and the group page beside the
            first.
        labels: Label volume, for scans on one grid.
        names: Names of the labels, as in :func:`uqrestore.reports.page.write_report`.
        threshold: Intensity that region means are compared with.
        guarantee: Guarantee of region means.
        overwrite: Replace existing reports.
        done: Called with every page that is written.

    Raises:
        ValueError: If two files would get reports of the same name in one folder.
        FileExistsError: If the group page exists and is not to be replaced.
    """
    _check_names(paths, folder)
    home = paths[0].parent if folder is None else folder
    many = len(paths) > 1
    if many and not overwrite and (home / PAGE).exists():
        raise FileExistsError(f"{home / PAGE}: exists already; pass --overwrite or --out.")
    reports, failures = [], []
    for path in paths:
        try:
            written = write_report(
                path,
                folder,
                labels=labels,
                names=names,
                threshold=threshold,
                guarantee=guarantee,
                overwrite=overwrite,
            )
        except (OSError, ValueError) as error:
            failures.append((path.name, " ".join(str(error).split())))
            continue
        reports.append(written)
        if done is not None:
            done(written.page)
    if not many:
        return GroupWritten(tuple(reports), tuple(failures), None)
    home.mkdir(parents=True, exist_ok=True)
    write_text(home / PAGE, render_group(reports, failures, home))
    machine = {
        "format": "uqrestore-group-report-1",
        "reports": [written.data for written in reports],
        "failures": [{"file": name, "reason": reason} for name, reason in failures],
    }
    write_text(home / MACHINE, json.dumps(machine, indent=1, allow_nan=False) + "\n")
    return GroupWritten(tuple(reports), tuple(failures), home / PAGE)


def render_group(
    reports: Sequence[Written], failures: Sequence[tuple[str, str]], home: Path
) -> str:
    """Return the group page as text."""
    context = {
        "version": __version__,
        "style": static("style.css"),
        "failures": failures,
        "metrics": _metrics(reports),
        "lights": list(reports[0].data["verdict"]) if reports else [],
        "scans": [_scan(written, home) for written in reports],
    }
    return environment().get_template("group.html").render(context)


def _check_names(paths: Sequence[Path], folder: Path | None) -> None:
    seen: dict[Path, Path] = {}
    for path in paths:
        stem = file_stem(path)
        target = (path.parent if folder is None else folder) / stem
        if target in seen:
            raise ValueError(
                f"{seen[target]} and {path} would both get the report {target}.report.html; "
                "report them into different folders."
            )
        seen[target] = path


def _metrics(reports: Sequence[Written]) -> list[dict[str, Any]]:
    rows = []
    for name, (title, right, meaning) in METRICS.items():
        known = [(_value(w.data["numbers"], name), w.data["file"]) for w in reports]
        found = sorted((float(value), file) for value, file in known if value is not None)
        if len(found) < 2:
            continue
        values, files = [value for value, _ in found], [file for _, file in found]
        label = f"{title}: {values[0]:.3g} to {values[-1]:.3g} over {len(values)} scans."
        rows.append(
            {
                "title": title,
                "meaning": meaning,
                "chart": svg.strip(values, files, right, title, label),
                "lowest": f"{files[0]} ({values[0]:.3g})",
                "highest": f"{files[-1]} ({values[-1]:.3g})",
            }
        )
    return rows


def _value(numbers: Mapping[str, Any], name: str) -> float | None:
    key, _, kind = name.partition("/")
    return numbers.get(key) if not kind or numbers["data_fit_kind"] == kind else None


def _scan(written: Written, home: Path) -> dict[str, Any]:
    data: Mapping[str, Any] = written.data
    numbers = data["numbers"]
    unit = display_unit(numbers["half_width"] or 0.0, data["unit"])
    return {
        "name": data["file"],
        "link": quote(_relative(written.page, home)),
        "lights": list(data["verdict"].values()),
        "draws": numbers["draws"],
        "interval": numbers["interval"],
        "half_width": _known(numbers["half_width"], unit.text),
        "fit": _known(numbers["data_fit"], "{:.3g}".format),
    }


def _relative(page: Path, home: Path) -> str:
    import os

    return Path(os.path.relpath(page, home)).as_posix()


def _known(value: float | None, write: Callable[[float], str]) -> str:
    return "not known" if value is None else write(value)
