"""The page of one posterior: one HTML file that needs nothing else, and the same for machines."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uqrestore._files import write_text
from uqrestore.reports.embed import Shown, embed
from uqrestore.reports.findings import Findings, find, to_data
from uqrestore.reports.pictures import pictures
from uqrestore.reports.texts import texts

if TYPE_CHECKING:
    from jinja2 import Environment

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Written:
    """The files of one report.

    Attributes:
        page: HTML.
        machine: JSON.
        data: What the JSON says.
    """

    page: Path
    machine: Path
    data: Mapping[str, Any]


def write_report(
    path: Path,
    out: Path | None = None,
    *,
    labels: Path | None = None,
    threshold: float | None = None,
    overwrite: bool = False,
) -> Written:
    """Write ``NAME.report.html`` and ``NAME.report.json`` of a posterior file.

    Args:
        path: The posterior file; nothing else is read but the cards that ship.
        out: Their folder, or the name of the HTML file; None puts them beside the posterior file.
        labels: NIfTI of regions on the grid of the scan that was restored.
        threshold: Intensity; the page then says how probable it is that a region exceeds it.
        overwrite: Replace what is there.

    Raises:
        PosteriorError: If the file is no sound posterior file, or the labels do not fit it.
        FileExistsError: If the report exists and is not to be replaced.
    """
    findings = find(path, labels=labels, threshold=threshold)
    if out is not None and out.suffix == ".html":
        page = out
    else:
        page = (path.parent if out is None else out) / f"{findings.contents.stem}.report.html"
    machine = page.with_suffix(".json")
    for target in (page, machine):
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target}: exists already; pass --overwrite or --out.")
    data = to_data(findings)
    text = render(findings)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, text)
    write_text(machine, json.dumps(data, indent=1, allow_nan=False, default=_finite) + "\n")
    return Written(page, machine, data)


def render(findings: Findings) -> str:
    """Return the page as text."""
    contents = findings.contents
    shown = embed(contents) if findings.has_images else Shown((), (), 0, {})
    context = texts(findings) | pictures(findings, shown)
    context |= {
        "style": static("style.css"),
        "script": static("report.js"),
        "niivue": static("niivue.umd.js"),
        "niivue_licence": static("niivue.LICENSE.txt"),
    }
    return environment().get_template("report.html").render(context)


@functools.cache
def environment() -> "Environment":
    """Return the templates; whatever enters a page is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(STATIC),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def static(name: str) -> str:
    """Return a file that is copied into pages."""
    return (STATIC / name).read_text(encoding="utf-8")


def _finite(value: Any) -> Any:  # noqa: ANN401
    return value.item() if isinstance(value, np.generic) else str(value)
