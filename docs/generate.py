"""Write the pages that follow from the code: the command line, and the modules of the API."""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uqrestore
from uqrestore.methods import Method

Command = Any
"""A command of click, which typer carries under names of its own."""

ROOMS: dict[str, tuple[str, ...]] = {
    "The package": ("uqrestore",),
    "Operators": (
        "uqrestore.operators.base",
        "uqrestore.operators.masked_fourier",
        "uqrestore.operators.coil_fourier",
        "uqrestore.operators.radial_fourier",
        "uqrestore.operators.radon",
        "uqrestore.operators.inpainting",
        "uqrestore.operators.strided_blur",
        "uqrestore.operators.downsampling",
        "uqrestore.operators.matrix",
        "uqrestore.operators.masks",
        "uqrestore.operators.adapters",
    ),
    "Problems and noise": ("uqrestore.problem", "uqrestore.noise"),
    "Priors in closed form": (
        "uqrestore.priors.closed_form",
        "uqrestore.priors.gaussian",
        "uqrestore.priors.mixture",
        "uqrestore.priors.low_rank",
    ),
    "Networks": (
        "uqrestore.diffusion.denoiser",
        "uqrestore.diffusion.posterior_mean",
        "uqrestore.networks.hdit",
        "uqrestore.networks.invfussion",
        "uqrestore.networks.feature_degradation",
        "uqrestore.networks.measurement",
        "uqrestore.networks.unet",
    ),
    "Training": (
        "uqrestore.training.run",
        "uqrestore.training.config",
        "uqrestore.training.loop",
        "uqrestore.training.sources",
        "uqrestore.training.augmentation",
        "uqrestore.training.power_ema",
    ),
    "Methods": tuple(
        f"uqrestore.methods.{name}"
        for name in (
            "conditional",
            "ssd",
            "ddrm",
            "ddnm",
            "dps",
            "pigdm",
            "diffpir",
            "daps",
            "moment_matching",
            "local_gaussian",
        )
    ),
    "Scans": (
        "uqrestore.scans.scan",
        "uqrestore.scans.slices",
        "uqrestore.scans.placement",
        "uqrestore.scans.scope",
    ),
    "Posterior files": (
        "uqrestore.posterior.plan",
        "uqrestore.posterior.writer",
        "uqrestore.posterior.open",
        "uqrestore.posterior.schema",
        "uqrestore.posterior.validation",
        "uqrestore.posterior.view",
        "uqrestore.posterior.components",
        "uqrestore.posterior.export",
    ),
    "Evaluation": (
        "uqrestore.diagnostics.scenes",
        "uqrestore.diagnostics.battery",
        "uqrestore.diagnostics.coverage",
        "uqrestore.conformal.guarantee",
        "uqrestore.conformal.component_box",
        "uqrestore.diagnostics.heldout",
        "uqrestore.diagnostics.evaluate",
        "uqrestore.metrics.image",
    ),
    "Restoring": (
        "uqrestore.restoration.restore",
        "uqrestore.restoration.options",
        "uqrestore.restoration.draw",
        "uqrestore.restoration.acquisition",
    ),
    "Looking": (
        "uqrestore.explorer.opened",
        "uqrestore.reports.page",
        "uqrestore.reports.group",
        "uqrestore.reports.example",
    ),
}


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
    """Return the page of the API, one section a room."""
    lines = [
        "# API reference",
        "",
        f"Version {uqrestore.__version__}. Shapes stand in the signatures; everything not listed "
        "here is internal.",
        "",
    ]
    for room, modules in ROOMS.items():
        lines += [f"## {room}", ""]
        for module in modules:
            lines += [
                f"### {module}",
                "",
                "```{eval-rst}",
                f".. automodule:: {module}",
                "   :members:",
                "",
                *(f".. autofunction:: {module}.{name}" for name in _methods(module)),
                "```",
                "",
            ]
    return "\n".join(lines)


def _methods(module: str) -> list[str]:
    """Return the restoration methods of a module: objects, which automodule passes over."""
    found = vars(importlib.import_module(module))
    return [name for name, m in found.items() if isinstance(m, Method) and m.__module__ == module]


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
