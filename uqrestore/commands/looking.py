"""Look: at a posterior file, and at what a pipeline can name."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from uqrestore.terminal import DamagedFileError, one_line_faults, out, say


class Registry(StrEnum):
    """What ``uqrestore list`` can list."""

    OPERATORS = "operators"
    METHODS = "methods"
    PRIORS = "priors"
    BACKBONES = "backbones"
    PIPELINES = "pipelines"


def inspect(
    path: Annotated[Path, typer.Argument(help="A posterior file.")],
) -> None:
    """Validate a posterior file, down to a flipped byte, and show what it holds."""
    with one_line_faults():
        from uqrestore.posterior import inspect as look

        found = look(path)
        out.print(found.table())
        if found.faults:
            raise DamagedFileError(
                f"{path}: {'; '.join(found.faults)}; make it again, or take a sound copy."
            )
        say(f"{path}: sound")


def list_names(
    what: Annotated[Registry, typer.Argument(help="What to list.")],
) -> None:
    """List what a pipeline can name."""
    from rich.table import Table

    with one_line_faults():
        table = Table("name", "what it is", title=what.value, title_justify="left")
        for name, text in _entries(what):
            table.add_row(name, text)
        out.print(table)


def _entries(what: Registry) -> list[tuple[str, str]]:
    if what is Registry.PIPELINES:
        from uqrestore.pipeline import describe, list_pipelines

        return [(name, ": ".join(describe(path))) for name, path in list_pipelines().items()]
    if what is Registry.OPERATORS:
        from uqrestore.operators import list_operators

        return [(name, f"{shapes}; pinv: {kind}") for name, shapes, kind in list_operators()]
    if what is Registry.PRIORS:
        from uqrestore.zoo import load_card, names

        return [(name, str(load_card(name)["title"])) for name in names()]
    if what is Registry.METHODS:
        from uqrestore.methods import METHODS as registry
    else:
        from uqrestore.networks import BACKBONES as registry
    return [(name, (registry[name].__doc__ or "").split("\n")[0]) for name in sorted(registry)]
