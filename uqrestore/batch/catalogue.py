"""Outputs of a batch: a table of their figures, and the files themselves, opened lazily."""

import csv
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uqrestore._shared.files import atomic
from uqrestore._shared.text import printable
from uqrestore.batch.job import read_failure
from uqrestore.batch.tasks import SUFFIX, BatchError
from uqrestore.posterior import PosteriorError, PosteriorFile, open_posterior

if TYPE_CHECKING:
    import xarray as xr

FIRST = ("name", "status", "scan", "in_scope", "findings", "fingerprint", "created_at", "error")
ERROR = ".error.json"


class Posteriors(Mapping[str, Any]):
    """The posterior files of a batch by name; each is opened when it is asked for, read when used.

    Args:
        folder: Output folder of a batch.
        paths: File of each name.
    """

    def __init__(self, folder: Path, paths: Mapping[str, Path]) -> None:
        self.folder, self.paths = folder, dict(paths)

    def __getitem__(self, name: str) -> "xr.DataTree":
        return open_posterior(self.paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Posteriors({str(self.folder)!r}: {len(self)} files)"


def open_posteriors(folder: Path | str) -> Posteriors:
    """Open the outputs of a batch, thousands if there are, without reading any.

    Example:
        A mean over scans, one open file at a time::

            from uqrestore.batch import open_posteriors

            scans = open_posteriors("restored")
            for name, scan in scans.items():
                with scan:
                    print(name, float(scan["estimate/std"].mean()))

    Raises:
        BatchError: If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BatchError(f"{folder}: no such folder; give the --out of a batch.")
    found = sorted(folder.rglob(f"*{SUFFIX}"))
    return Posteriors(folder, {_name(folder, path, SUFFIX): path for path in found})


def write_catalogue(folder: Path | str, path: Path | str | None = None) -> Path:
    """Write a table of all outputs of a batch: status, scope and summary figures of each.

    It is made from the files alone, at any time, and of the outputs of many runs.

    Args:
        folder: Output folder of a batch.
        path: ``.csv`` or ``.parquet`` (extra ``parquet``); ``catalogue.csv`` in the folder if None.

    Raises:
        BatchError: If there is no such folder or the table cannot be of that format.
        OSError: If it cannot be written.
    """
    folder = Path(folder)
    path = folder / "catalogue.csv" if path is None else Path(path)
    if path.suffix not in {".csv", ".parquet"}:
        raise BatchError(f"{path}: a catalogue is .csv or .parquet.")
    rows = catalogue_rows(folder)
    figures = sorted({key for row in rows for key in row} - set(FIRST))
    with atomic(path) as temporary:
        if path.suffix == ".csv":
            _write_csv(temporary, rows, (*FIRST, *figures))
        else:
            _write_parquet(temporary, rows, (*FIRST, *figures))
    return path


def catalogue_rows(folder: Path) -> list[dict[str, Any]]:
    """Return one row a scan: of its finished file, else of its error record."""
    rows = {}
    for path in sorted(folder.rglob(f"*{ERROR}")):
        failure = read_failure(path)
        if failure is not None:
            name = _name(folder, path, ERROR)
            keys = ("fingerprint", "created_at", "error")
            rows[name] = {"name": name, "status": "failed"} | {k: failure.get(k) for k in keys}
            rows[name]["scan"] = Path(str(failure.get("scan"))).name
    for name, path in open_posteriors(folder).paths.items():
        rows[name] = rows.get(name, {}) | {"name": name} | _finished(path)
    return [rows[name] for name in sorted(rows)]


def _finished(path: Path) -> dict[str, Any]:
    try:
        file = PosteriorFile(path)
        scope = file.scope or {}
        return {
            "status": file.status,
            "scan": file.provenance.get("scan", {}).get("name"),
            "in_scope": scope.get("in_scope"),
            "findings": "; ".join(map(str, scope.get("findings", ()))),
            "fingerprint": file.root["fingerprint"],
            "created_at": file.root["created_at"],
            **{key: value for key, value in file.figures.items() if key not in FIRST},
        }
    except (PosteriorError, KeyError, TypeError, AttributeError) as error:
        return {"status": "damaged", "error": str(error)}


def _write_csv(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([_inert(name) for name in columns])
        table.writerows([_inert(row.get(name)) for name in columns] for row in rows)


def _write_parquet(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    import pandas as pd

    try:
        pd.DataFrame(rows, columns=list(columns)).to_parquet(path)
    except ImportError:
        raise BatchError(
            "a Parquet catalogue needs pyarrow: pip install 'uqrestore[parquet]', or write .csv."
        ) from None


def _inert(value: object) -> object:
    """Return a cell that a spreadsheet takes for text or a number, never for a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    start = unicodedata.normalize("NFKC", text.lstrip()[:1])  # wide signs are signs too
    return f"'{text}" if start in set("=+-@") else text


def _name(folder: Path, path: Path, suffix: str) -> str:
    return path.relative_to(folder).as_posix().removesuffix(suffix)
