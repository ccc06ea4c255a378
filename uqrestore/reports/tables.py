"""Tables of a report as text files: numbers, and the posterior of every region."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from uqrestore._shared.files import write_text
from uqrestore._shared.text import printable

MISSING = "n/a"
"""Missing values, as in BIDS."""
NOT_CALIBRATED = "interval not calibrated"


def write_tables(data: Mapping[str, Any], numbers: Path, regions: Path) -> tuple[Path, Path]:
    """Write the tables of a report, separated by commas (``.csv``) or tabs.

    Args:
        data: Content of the JSON file of the report, ``Written.data``.
        numbers: File of the numbers, one a row.
        regions: File of the regions, one a row, in the intensity of the scan and mm; its last
            column marks intervals that are not calibrated.

    Returns:
        The two files.
    """
    rows = [*data["numbers"].items(), *_parameters(data.get("parameters", ()))]
    _write(numbers, ("name", "value"), rows)
    warning = NOT_CALIBRATED if data.get("regions_warning") else None
    rows = [
        _region(region) | {"warning": None if region.get("guaranteed") else warning}
        for region in data["regions"]
    ]
    columns = (*_region({}), "warning")
    _write(regions, columns, (row.values() for row in rows))
    return numbers, regions


def _parameters(parameters: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield mean, standard deviation and interval of every unknown parameter."""
    for parameter in parameters:
        low, high = parameter["interval"]
        numbers = {"mean": parameter["mean"], "std": parameter["std"], "low": low, "high": high}
        yield from ((f"{parameter['name']} {key}", value) for key, value in numbers.items())


def _region(region: Mapping[str, Any]) -> dict[str, Any]:
    x, y, z = region.get("position_mm", (None, None, None))
    low, high = region.get("interval", (None, None))
    guaranteed = region.get("guaranteed") or (None, None)
    return {
        "name": region.get("name"),
        "mean": region.get("mean"),
        "low": low,
        "high": high,
        "level": region.get("interval_level"),
        "guaranteed_low": guaranteed[0],
        "guaranteed_high": guaranteed[1],
        "truth": region.get("truth"),
        "above_threshold": region.get("above_threshold"),
        "voxels": region.get("voxels"),
        "millilitres": region.get("millilitres"),
        "x_mm": x,
        "y_mm": y,
        "z_mm": z,
    }


def _write(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, delimiter="," if path.suffix == ".csv" else "\t", lineterminator="\n")
    table.writerow(columns)
    for row in rows:
        table.writerow(MISSING if value is None else _plain(value) for value in row)
    write_text(path, text.getvalue())


def _plain(value: object) -> object:
    if isinstance(value, str):
        return printable(value)
    return f"{value:.7g}" if isinstance(value, float) else value
