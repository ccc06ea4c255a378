"""Write the pages that follow from the code: the command line, and the modules of the API."""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import uqrestore

Command = Any
"""A command of click, which typer carries under names of its own."""


def write_generated(folder: Path) -> None:
    """Write ``reference/cli.md`` and ``reference/api.md``, if they change."""
    for name, text in (("cli.md", command_line()), ("api.md", api())):
        path = folder / "reference" / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def command_line() -> str:
    """Return the reference of every command, from the commands themselves."""
    lines = [
        "# Command line",
        "",
        "Made from the commands themselves. Exit codes: 0 done, 1 something failed, 2 a mistake in "
        "what was asked. `UQRESTORE_TRACEBACK=1` shows the whole traceback.",
        "",
    ]
    for name, command in commands().items():
        lines += [f"## uqrestore {name}", "", inspect.cleandoc(command.help or ""), ""]
        lines += ["```text", f"uqrestore {name} {_usage(command)}", "```", ""]
        lines += [*_parameters(command), ""]
    return "\n".join(lines)


def commands() -> dict[str, Command]:
    """Return the commands by name."""
    import typer

    from uqrestore.cli.app import app

    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def api() -> str:
    """Return the page of the API: the front door, then the public names of every room."""
    lines = [
        "# API reference",
        "",
        f"Version {uqrestore.__version__}. Shapes stand in the signatures; everything not listed "
        "here is internal.",
        "",
        "```{contents}",
        ":local:",
        ":depth: 1",
        "```",
        "",
    ]
    written: set[type] = set()
    for module in modules():
        public = public_names(module)
        lines += [f"## {module.__name__}", "", "```{eval-rst}"]
        lines += [f".. automodule:: {module.__name__}", "   :no-members:", ""]
        for name in public:
            value = getattr(module, name)
            if isinstance(value, type) and value in written:  # at the front door already
                lines += [f":class:`uqrestore.{name}`", ""]
                continue
            lines += _entry(module, name)
            if module is uqrestore and isinstance(value, type):
                written.add(value)
        lines += ["```", ""]
    return "\n".join(lines)


def modules() -> Iterator[ModuleType]:
    """Yield the package, its rooms, and the modules that rooms make public, in this order."""
    yield uqrestore
    public = (getattr(uqrestore, name) for name in uqrestore.__all__)
    rooms = {value.__name__: value for value in public if isinstance(value, ModuleType)}
    for name in sorted(rooms):
        yield rooms[name]
        yield from _inner(rooms[name])


def public_names(module: ModuleType) -> list[str]:
    """Return the public functions, classes and values of a module, without its modules.

    Those of ``__all__``; of a module without it, what is defined there.
    """
    own = [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
    ]
    names = getattr(module, "__all__", own)
    public = [name for name in names if not isinstance(getattr(module, name), ModuleType)]
    return sorted((name for name in public if not name.startswith("__")), key=str.lower)


def _inner(room: ModuleType) -> Iterator[ModuleType]:
    for name in getattr(room, "__all__", ()):
        value = getattr(room, name)
        if isinstance(value, ModuleType):
            yield value


def _entry(module: ModuleType, name: str) -> list[str]:
    """Return the directive of one name: a class with its members, a function, or a registry."""
    value, full = getattr(module, name), f"{module.__name__}.{name}"
    if inspect.isclass(value):
        return [f".. autoclass:: {full}", "   :members:", ""]
    if callable(value) and hasattr(value, "__name__"):
        return [f".. autofunction:: {full}", ""]
    lines = [f".. py:data:: {full}", ""]
    if isinstance(value, Mapping):
        keys = ", ".join(f"``{key}``" for key in value)
        lines += [f"   Registry: {keys}.", ""]
    return lines


def _usage(command: Command) -> str:
    words = [_metavar(p) for p in _arguments(command)]
    return " ".join([*words, "[OPTIONS]"])


def _metavar(argument: Any) -> str:  # noqa: ANN401  (typer brings click classes of its own)
    return str(argument.metavar or argument.name).upper()


def _arguments(command: Command) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "argument"]


def _parameters(command: Command) -> Iterator[str]:
    yield "| option | default | |"
    yield "|---|---|---|"
    for parameter in command.params:
        argument = parameter.param_type_name == "argument"
        names = _metavar(parameter) if argument else None
        shown = names or ", ".join([*parameter.opts, *parameter.secondary_opts])
        text = " ".join((getattr(parameter, "help", "") or "").split())
        default = "needed" if parameter.required else parameter.default
        value = "" if default in (None, False) or callable(default) else f"`{default}`"
        yield f"| `{shown}` | {value} | {text.replace('|', '/')} |"
