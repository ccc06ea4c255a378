"""Page of one posterior: one HTML file that needs nothing else, and the same as JSON."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from uqrestore._shared.files import write_text
from uqrestore._shared.text import printable
from uqrestore._shared.version import __version__
from uqrestore.posterior._header import file_stem
from uqrestore.reports.embed import Shown, embed
from uqrestore.reports.findings import Findings, find
from uqrestore.reports.machine import to_data
from uqrestore.reports.pictures import pictures
from uqrestore.reports.sections import SECTIONS, Section

if TYPE_CHECKING:
    from jinja2 import Environment

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Written:
    """Files of one report.

    Attributes:
        page: HTML file.
        machine: JSON file.
        data: Content of the JSON file.
    """

    page: Path
    machine: Path
    data: Mapping[str, Any]


def write_report(
    path: Path,
    out: Path | None = None,
    *,
    labels: Path | None = None,
    names: str | None = None,
    threshold: float | None = None,
    guarantee: Path | None = None,
    overwrite: bool = False,
) -> Written:
    """Write ``NAME.report.html`` and ``NAME.report.json`` of a posterior file.

    Args:
        path: The posterior file; nothing else is read but the cards of methods and priors.
        out: Their folder, or the name of the HTML file; None puts them beside the posterior file.
        labels: NIfTI of numbered regions on the grid of the scan that was restored.
        names: Names of the numbers: ``dlmuse``, ``freesurfer`` or a table; None takes a table
            beside the labels, if there is one.
        threshold: Intensity; the page then states how probable it is that a region exceeds it.
        guarantee: Guarantee of region means, by ``uqrestore calibrate --method region_means``.
        overwrite: Replace an existing report.

    Raises:
        PosteriorError: If the file is no sound posterior file, or the labels do not fit it.
        OutOfScopeError: If the guarantee does not hold for this file.
        FileExistsError: If the report exists and is not to be replaced.
    """
    if out is not None and out.suffix == ".html":
        page = out
    else:
        page = (path.parent if out is None else out) / f"{file_stem(path)}.report.html"
    machine = page.with_suffix(".json")
    for target in (page, machine):
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target}: exists already; pass --overwrite or --out.")
    findings = find(path, labels=labels, names=names, threshold=threshold, guarantee=guarantee)
    with findings.contents.file:
        data, text = to_data(findings), render(findings)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, text)
    write_text(machine, json.dumps(data, indent=1, allow_nan=False, default=_plain) + "\n")
    return Written(page, machine, data)


def render(findings: Findings) -> str:
    """Return the page as text."""
    contents = findings.contents
    shown = embed(contents) if findings.has_images else Shown((), (), 0, {})
    head, arrays = pictures(findings, shown)
    sections = [
        (section, _body(section, findings, shown))
        for section in SECTIONS
        if (findings.has_images or not section.needs_images) and section.wanted(findings)
    ]
    return (
        environment()
        .get_template("page.html")
        .render(
            version=__version__,
            c=contents,
            sections=sections,
            head=head,
            arrays=arrays,
            style=static("style.css"),
            script=static("report.js"),
            niivue=static("niivue.umd.js"),
            niivue_licence=static("niivue.LICENSE.txt"),
        )
    )


def _body(section: Section, findings: Findings, shown: Shown) -> Markup:
    text = "{% import 'macros.html' as m with context %}" + section.template
    context = {"f": findings, "c": findings.contents, "u": findings.unit, "shown": shown}
    context |= section.context(findings, shown)
    return Markup(environment().from_string(text).render(context))


@functools.cache
def environment() -> "Environment":
    """Return the templates; text that enters a page is escaped and without control characters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(STATIC),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _printable(value: Any) -> Any:  # noqa: ANN401  (whatever a template prints)
    """Replace control and direction characters, which can hide or reorder what is read."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(map(printable, value.split("\n")))


def static(name: str) -> str:
    """Return a file that is copied into pages."""
    return (STATIC / name).read_text(encoding="utf-8")


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.item() if isinstance(value, np.generic) else str(value)
