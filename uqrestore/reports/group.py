"""Reports of many posterior files, and a page that compares them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from uqrestore._files import write_text
from uqrestore._version import __version__
from uqrestore.reports import svg as charts
from uqrestore.reports.page import Written, environment, static, write_report

PAGE, MACHINE = "group.report.html", "group.report.json"

METRICS: dict[str, tuple[str, float | None, str]] = {
    "half_width_share": (
        "Mean half-width of the intervals, share of the display range",
        None,
        "How wide the posterior is.",
    ),
    "data_fit": (
        "Data fit (chi-square per measurement, or relative misfit)",
        None,
        "1 is right with noise, 0 without.",
    ),
    "coverage_gap": (
        "Coverage of the intervals minus that of an ideal sampler, percentage points",
        0.0,
        "Where a reference image is known; below 0, the intervals are too narrow.",
    ),
    "error_over_std": (
        "Error of the mean over the stated spread",
        1.0,
        "1 is right; above, the spread is too small.",
    ),
    "psnr_mean": ("PSNR of the posterior mean, dB", None, "Where a reference image is known."),
    "seconds": ("Seconds spent on draws", None, ""),
}


@dataclass(frozen=True)
class GroupWritten:
    """What came of several files.

    Attributes:
        reports: One a file that could be read.
        failures: Name and reason of every file that could not.
        page: The group page; None if fewer than two files were asked for.
    """

    reports: tuple[Written, ...]
    failures: tuple[tuple[str, str], ...]
    page: Path | None


def write_reports(
    paths: Sequence[Path],
    folder: Path | None = None,
    *,
    labels: Path | None = None,
    threshold: float | None = None,
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
        threshold: See :func:`uqrestore.reports.page.write_report`.
        overwrite: Replace what is there.
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
                path, folder, labels=labels, threshold=threshold, overwrite=overwrite
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
        stem = path.name.removesuffix(".part").removesuffix(".h5").removesuffix(".posterior")
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
        known = [(w.data["numbers"].get(name), w.data["file"]) for w in reports]
        found = sorted((float(value), file) for value, file in known if value is not None)
        if len(found) < 2:
            continue
        values, files = [value for value, _ in found], [file for _, file in found]
        label = f"{title}: {values[0]:.3g} to {values[-1]:.3g} over {len(values)} scans."
        rows.append(
            {
                "title": title,
                "meaning": meaning,
                "chart": charts.strip(values, files, right, title, label),
                "lowest": f"{files[0]} ({values[0]:.3g})",
                "highest": f"{files[-1]} ({values[-1]:.3g})",
            }
        )
    return rows


def _scan(written: Written, home: Path) -> dict[str, Any]:
    data: Mapping[str, Any] = written.data
    numbers = data["numbers"]
    return {
        "name": data["file"],
        "link": quote(_relative(written.page, home)),
        "lights": list(data["verdict"].values()),
        "draws": numbers["draws"],
        "half_width": _number(numbers["half_width"], data["unit"]),
        "fit": _number(numbers["data_fit"], ""),
    }


def _relative(page: Path, home: Path) -> str:
    import os

    return Path(os.path.relpath(page, home)).as_posix()


def _number(value: float | None, unit: str) -> str:
    return "not known" if value is None else f"{value:.3g} {unit}".strip()
