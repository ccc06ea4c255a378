"""Scans of a batch and the names of their outputs."""

import csv
import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from uqrestore.scans import is_scan, stem

LISTS = {".txt", ".lst", ".csv", ".tsv"}
COLUMNS = ("scan", "mask", "reference", "volume", "noise_std", "name")
BESIDE = {"mask": "{}_mask.nii.gz", "reference": "{}_full.h5"}
"""Example of a name beside a scan, by the kind of file."""
SUFFIX = ".posterior.h5"
Number = TypeVar("Number", int, float)
LONGEST_NAME = 120  # bytes of one folder or file name, so that every suffix still fits in 255


class BatchError(ValueError):
    """A mistake in a command: nothing to restore, two outputs of one name, an invalid shard."""


@dataclass(frozen=True)
class Task:
    """One scan of a batch.

    Attributes:
        name: Of its outputs, a relative path without suffix; safe on any file system.
        scan: The scan's file, or the folder of a DICOM series.
        mask: Its brain mask, where it needs one.
        volume: Which volume of a 4-D file.
        noise_std: Noise of raw k-space, instead of the file's.
        coils: Number of coils that raw k-space is compressed to.
        reference: Fully sampled file of the same raw k-space.
    """

    name: str
    scan: Path
    mask: Path | None = None
    volume: int | None = None
    noise_std: float | None = None
    coils: int | None = None
    reference: Path | None = None


def find_tasks(
    source: str,
    *,
    mask: str | None = None,
    reference: str | None = None,
    volume: int | None = None,
    noise_std: float | None = None,
    coils: int | None = None,
) -> list[Task]:
    """Find the scans that a list, a pattern or a folder names, sorted by name.

    Outputs of a folder or a pattern mirror its subfolders, so that no two scans share a name and
    adding a scan renames no other. A list is a text file of one path a line, or a CSV or TSV file
    with the columns ``scan``, ``mask``, ``reference``, ``volume``, ``noise_std`` and ``name``, of
    which only the first is needed; its paths start at the list's own folder.

    Args:
        source: File of a list, a folder, a scan, or a pattern such as ``study/*/T1w.nii.gz``.
        mask: Brain mask of scans for which the list names none: a file for a single scan, or the
            name beside each scan, where ``{}`` stands for the scan's name without suffix.
        reference: Fully sampled file of raw k-space, named as ``mask``.
        volume: Volume of scans for which the list states none.
        noise_std: Noise of raw k-space for which the list states none.
        coils: Number of coils that raw k-space is compressed to.

    Raises:
        BatchError: If there is nothing to restore, or two scans would have one output.
    """
    path = Path(source)
    if path.is_file() and path.suffix.lower() in LISTS:
        tasks = list(_listed(path))
    elif path.is_dir():
        # A folder that is itself a series has the name of that folder.
        tasks = [_below(path.parent if scan == path else path, scan) for scan in _scans_in(path)]
    elif path.is_file():
        tasks = [_below(path.parent, path)]
    else:
        root = _fixed_part(source)
        found = (Path(match) for match in glob.glob(source, recursive=True))  # noqa: PTH207
        tasks = [_below(root, scan) for scan in sorted(found) if is_scan(scan)]
    if not tasks:
        raise BatchError(
            f"{source}: names no scan that can be read; give a folder of scans, a pattern in "
            "quotes, or a list of paths."
        )
    for kind, pattern in (("mask", mask), ("reference", reference)):
        if pattern is not None:
            tasks = _with_files(tasks, kind, pattern)
    tasks = [
        replace(
            task,
            volume=volume if task.volume is None else task.volume,
            noise_std=noise_std if task.noise_std is None else task.noise_std,
            coils=coils,
        )
        for task in tasks
    ]
    _refuse_duplicates(tasks)
    return sorted(tasks, key=lambda task: task.name)


def parse_shard(text: str) -> tuple[int, int]:
    """Read ``i/N``: part i, from 1, of N.

    Raises:
        BatchError: If the text is of another form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise BatchError(f"--shard {text}: write i/N with i from 1 to N, such as 3/8.")
    return int(match[1]), int(match[2])


def safe_name(part: str) -> str:
    """Return a name for a file that no shell, file system, table or page can misread.

    Letters, digits and ``. _ + = @ , -`` stay; a name that had to change carries a part of its
    hash, so that two different ones stay apart.
    """
    clean = re.sub(r"[^\w.+=@,-]", "_", part)
    clean = "_" + clean if clean[:1] in {"", ".", "-", "+", "=", "@"} else clean
    if clean == part and len(clean.encode()) <= LONGEST_NAME:
        return clean
    short = clean.encode()[: LONGEST_NAME - 9].decode(errors="ignore")
    return f"{short}-{sha256(part.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _with_files(tasks: list[Task], kind: str, pattern: str) -> list[Task]:
    """Give tasks without a mask or a reference their own; these are no scans to restore."""
    if "{}" not in pattern:
        if len(tasks) > 1:
            raise BatchError(
                f"--{kind} {pattern}: is one {kind} for {len(tasks)} scans; write {{}} for the "
                f"name of a scan, such as '{BESIDE[kind]}', or list scans and {kind}s in a CSV."
            )
        files = {task: Path(pattern) for task in tasks}
    else:
        files = {task: task.scan.parent / pattern.replace("{}", stem(task.scan)) for task in tasks}
    named = {path.resolve() for path in files.values()}
    tasks = [task for task in tasks if task.scan.resolve() not in named]
    given = {task: getattr(task, kind) for task in tasks}
    missing = [task.scan for task in tasks if given[task] is None and not files[task].exists()]
    if missing:
        raise BatchError(
            f"--{kind} {pattern}: {len(missing)} scans have no such {kind}, the first is "
            f"{missing[0]}; add it, or list scans and {kind}s in a CSV file."
        )
    return [replace(task, **{kind: given[task] or files[task]}) for task in tasks]


def _below(root: Path, scan: Path) -> Task:
    parts = (*Path(os.path.relpath(scan.parent, root)).parts, stem(scan))
    return Task("/".join(safe_name(part) for part in parts), scan)


def _scans_in(folder: Path) -> Iterator[Path]:
    """Walk a folder; a folder that holds a DICOM series is one scan."""
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(where)
        if files and is_scan(here):
            yield here
            continue
        yield from (here / name for name in sorted(files) if is_scan(here / name))


def _fixed_part(pattern: str) -> Path:
    """Return the folder above the first wildcard."""
    parts = Path(pattern).parts
    wild = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:wild]) if wild > 0 else Path()


def _listed(path: Path) -> Iterator[Task]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BatchError(f"{path}: cannot be read as a list ({error}).") from None
    rows = list(_rows(path, text))
    for line, row in rows:
        scan = path.parent / row["scan"]
        given = row.get("name") or stem(scan)
        yield Task(
            "/".join(safe_name(part) for part in given.split("/") if part),
            scan,
            mask=path.parent / row["mask"] if row.get("mask") else None,
            reference=path.parent / row["reference"] if row.get("reference") else None,
            volume=_number(path, line, row, "volume", int),
            noise_std=_number(path, line, row, "noise_std", float),
        )


def _number(
    path: Path, line: int, row: dict[str, str], key: str, kind: Callable[[str], Number]
) -> Number | None:
    text = row.get(key)
    if not text:
        return None
    try:
        number = kind(text)
    except ValueError:
        raise BatchError(f"{path}:{line}: {key} {text!r} is no number.") from None
    if not number >= 0:
        raise BatchError(f"{path}:{line}: {key} {text!r} must be 0 or more.")
    return number


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and columns of a list."""
    if path.suffix.lower() not in {".csv", ".tsv"}:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                yield number, {"scan": line.strip()}
        return
    table = csv.DictReader(
        text.splitlines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ","
    )
    unknown = sorted(set(table.fieldnames or ()) - set(COLUMNS))
    if "scan" not in (table.fieldnames or ()) or unknown:
        raise BatchError(
            f"{path}:1: its columns can be {', '.join(COLUMNS)} and 'scan' is needed, got "
            f"{', '.join(table.fieldnames or ()) or 'none'}."
        )
    for row in table:
        values = {key: (value or "").strip() for key, value in row.items() if key is not None}
        if values["scan"]:
            yield table.line_num, values


def _refuse_duplicates(tasks: Iterable[Task]) -> None:
    seen: dict[str, Task] = {}
    for task in tasks:
        other = seen.setdefault(task.name.casefold(), task)
        if other is not task:
            raise BatchError(
                f"{other.scan} and {task.scan} would both be written to {task.name}{SUFFIX}; give "
                "them names in a CSV list with the columns scan,name, or restore them separately."
            )
