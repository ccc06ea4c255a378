"""Content of a posterior file as a table, with the result of its validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uqrestore._shared.text import printable
from uqrestore.posterior._hdf5 import UNREADABLE, Group, dimensions, reading, short, variables
from uqrestore.posterior.data_fit import WARNING, chain_warning
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.integrity import in_child, intact
from uqrestore.posterior.validation import validate
from uqrestore.posterior.view import PosteriorFile
from uqrestore.scans import Verdict

if TYPE_CHECKING:
    import xarray as xr
    from rich.console import RenderableType


@dataclass(frozen=True)
class Row:
    """One variable of a posterior file: place, dimensions, type, unit and size."""

    group: str
    variable: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    unit: str
    stored_bytes: int


@dataclass(frozen=True)
class Inspection:
    """The content of a posterior file.

    Attributes:
        path: The file.
        header: Facts about the whole file, by name.
        rows: One entry a variable.
        faults: Findings of :func:`validate`; empty if the file is sound.
    """

    path: Path
    header: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    faults: tuple[str, ...]

    def table(self) -> "RenderableType":
        """Return the inspection for ``rich.print``."""
        from rich.console import Group
        from rich.markup import escape
        from rich.table import Table

        def plain(text: str) -> str:
            return escape(printable(text))

        facts = Table.grid(padding=(0, 2))
        for name, value in self.header:
            facts.add_row(f"[bold]{plain(name)}[/]", plain(value))
        content = Table("variable", "dimensions", "type", "unit", "stored", box=None)
        for row in self.rows:
            sizes = ", ".join(f"{d} {n}" for d, n in zip(row.dims, row.shape, strict=True))
            name = plain(f"{row.group.rstrip('/')}/{row.variable}")
            content.add_row(
                name, plain(sizes), plain(row.dtype), plain(row.unit), _size(row.stored_bytes)
            )
        verdict = "[bold green]sound[/]: every array and the whole file have their SHA-256"
        if self.faults:
            lines = "\n".join(f"  {plain(fault)}" for fault in self.faults)
            verdict = f"[bold red]{len(self.faults)} faults[/]\n{lines}"
        return Group(facts, "", content, "", verdict)


def inspect(path: Path | str) -> Inspection:
    """Read the content of a posterior file and validate it.

    Raises:
        PosteriorError: If the file is missing or is no posterior file at all.
    """
    path = Path(path)
    damaged = path.is_file() and intact(path) is False
    if damaged:
        content = in_child("uqrestore.posterior.inspect:read_content", path)
    else:
        content = read_content(path)
    faults = tuple(validate(path))
    if content is None:
        return Inspection(path, (("status", "damaged beyond reading"),), (), faults)
    facts = [(name, value) for name, value in content["header"]]
    rows = tuple(
        Row(**{**row, "dims": tuple(row["dims"]), "shape": tuple(row["shape"])})
        for row in content["rows"]
    )
    return Inspection(path, (*facts, ("size", _size(path.stat().st_size))), rows, faults)


def read_content(path: Path | str) -> dict[str, Any]:
    """Return header and rows as plain values; on a damaged file HDF5 may not return.

    Raises:
        PosteriorError: If the file is missing or lacks what every posterior file has.
    """
    try:
        return _content(Path(path))
    except PosteriorError:
        raise
    except UNREADABLE as error:
        raise PosteriorError(
            f"{path}: lacks what every posterior file has ({short(error)}); make it again."
        ) from error


def _content(path: Path) -> dict[str, Any]:
    file = PosteriorFile(path, newer=True)
    root = file.root
    with reading(path) as content:
        rows = [_row(name, variable) for name, variable in variables(content)]
        valid = np.asarray(content["/posterior/valid"][...])
        operator = str(content["operator"].attrs["class"])
    version = root.get("inference_library_version", "of unknown version")
    header = [
        ("title", root.get("title", "")),
        ("status", f"{file.status}, {int(valid.sum())} of {valid.size} slabs"),
        ("created", f"{root.get('created_at', 'at an unknown time')} by uqrestore {version}"),
        ("operator", operator),
        *physics_rows(file),
        ("fingerprint", root.get("fingerprint", "unknown")),
        ("warning", root.get("warning", "")),
    ]
    if "scope" in root:
        header.append(("scan", Verdict.from_data(file.scope).summary))
    header += [(name, f"{float(value):.4g}") for name, value in file.figures.items()]
    baselines = file.provenance.get("baselines", {})
    header += [(name, _options(options)) for name, options in baselines.items()]
    return {"header": header, "rows": rows}


def physics_rows(file: PosteriorFile) -> list[tuple[str, str]]:
    """Return noise model and unknown parameters of files that state them, and how chains went."""
    rows = []
    if (noise := file.noise_model()) is not None:
        rows.append(("noise", f"{noise.name}, {_options(noise.parameters())}".rstrip(", ")))
    for name, values in file.parameters.items():
        rows.append((f"unknown {name.replace('_', ' ')}", parameter_line(values)))
    if file.complete and (stuck := chain_warning(file)):
        rows.append((WARNING, f"chains do not mix: {stuck}"))
    return rows


def parameter_line(values: "xr.DataArray") -> str:
    """Return the posterior of an unknown parameter beside its prior, in one line.

    Of a parameter of several numbers, the root mean square of the standard deviations.
    """
    drawn = values.values.astype(np.float64)
    centre, prior = (np.ravel(values.attrs[key]) for key in ("prior_centre", "prior_std"))
    unit = "" if values.attrs.get("units", "1") == "1" else f" {values.attrs['units']}"
    spread = float(np.sqrt(np.nanvar(drawn, axis=(0, 1), ddof=1).mean()))
    if centre.size > 1 or drawn.shape[2] > 1:
        before = float(np.sqrt(np.square(prior).mean()))
        return f"{drawn[0, 0].size} numbers, std {spread:.3g}{unit} (prior {before:.3g})"
    mean = float(np.nanmean(drawn))
    return f"{mean:.4g} ± {spread:.2g}{unit} (prior {centre[0]:.4g} ± {prior[0]:.2g})"


def _options(options: Mapping[str, object]) -> str:
    """Return the options of a computation in one line, such as ``weight 0.003``."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in options.items()
    )


def _row(name: str, variable: Group) -> dict[str, Any]:
    group, _, own = name.rpartition("/")
    return {
        "group": group or "/",
        "variable": own,
        "dims": dimensions(variable),
        "shape": [int(n) for n in variable.shape],
        "dtype": str(variable.dtype),
        "unit": str(variable.attrs.get("units", "")),
        "stored_bytes": int(variable.id.get_storage_size()),
    }


def _size(count: int) -> str:
    power = min(3, max(0, len(str(count)) - 1) // 3)
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"
