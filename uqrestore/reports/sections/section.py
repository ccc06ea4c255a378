"""A section of the page: its template, what the template needs, and how to read it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings


@dataclass(frozen=True)
class Guide:
    """How to read a section.

    Attributes:
        shows: What it shows.
        good: What a good result looks like.
        bad: What a bad result looks like.
        act: What to do about it.
    """

    shows: str
    good: str
    bad: str
    act: str


@dataclass(frozen=True, eq=False)
class Section:
    """One section of the page.

    Attributes:
        id: Its anchor.
        title: Its heading.
        template: Jinja text of its body. It may use ``m``, the macros of ``macros.html``, ``f``,
            the findings, ``c``, their contents, ``u``, their unit, and the values of ``context``.
        context: Returns what else the template needs.
        guide: How to read it.
        needs_images: True if it is left out where no slice has two draws.
        wanted: Whether the page has it.
    """

    id: str
    title: str
    template: str
    context: Callable[[Findings, Shown], Mapping[str, Any]]
    guide: Guide
    needs_images: bool = False
    wanted: Callable[[Findings], bool] = lambda _: True
