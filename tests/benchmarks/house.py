"""Counts of the package: ``python -m tests.benchmarks.house``.

Lines, files over 300 lines, entries at the top, layers of the import contract, floors (longest
chain of rooms that import one another), and the trip of one scan: files of the room
``restoration`` that one restoration enters, and climbs, which are calls from a room to one in a
layer above it (a callback that is handed down is one).
"""

import ast
import subprocess
import sys
import tempfile
import tomllib
from functools import cache
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]
PACKAGE = "uqrestore"


def room(module: str) -> str:
    """Return the name below the package to which a module belongs."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> set[str]:
    """Return the rooms that a file imports, not those imported for annotations alone."""
    tree = ast.parse(path.read_text())
    typing = {id(n) for i in ast.walk(tree) if isinstance(i, ast.If) for n in ast.walk(i)
              if "TYPE_CHECKING" in ast.dump(i.test)}  # fmt: skip
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing:
            if node.module == PACKAGE:
                found |= {alias.name for alias in node.names}
            elif node.module.startswith(f"{PACKAGE}."):
                found.add(room(node.module))
    return found


def floors(files: list[Path]) -> list[str]:
    """Return the longest chain of rooms."""
    graph: dict[str, set[str]] = {}
    for path in files:
        name = path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")
        graph.setdefault(name, set()).update(imports(path) - {name})
    graph.pop("__init__", None)  # the front door imports everything when it is first asked

    @cache
    def chain(name: str) -> tuple[str, ...]:
        below = (chain(other) for other in graph.get(name, set()) if other in graph)
        return (name, *max(below, key=len, default=()))

    return list(max((chain(name) for name in graph), key=len))


def layers() -> list[list[str]]:
    """Return the layers of the import contract, the highest first."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(c for c in content["contracts"] if c["type"] == "layers")
    split = (line.replace(":", "|").split("|") for line in contract["layers"])
    return [[room(name.strip()) for name in names] for names in split]


def trip() -> tuple[set[str], set[tuple[str, str]]]:
    """Return the files of ``restoration`` that one scan enters, and the climbs."""
    from tests.batch.scene import pipeline
    from tests.front import write_scan
    from uqrestore.restoration.restore import restore
    from uqrestore.scans import read_input

    level = {name: k for k, names in enumerate(layers()) for name in names}
    files: set[str] = set()
    climbs: set[tuple[str, str]] = set()

    def watch(frame: FrameType, event: str, _: object) -> None:
        here = frame.f_globals.get("__name__", "")
        if event != "call" or not here.startswith(f"{PACKAGE}."):
            return
        if room(here) == "restoration":
            files.add(here)
        above = frame.f_back.f_globals.get("__name__", "") if frame.f_back else ""
        if above.startswith(f"{PACKAGE}."):
            one, other = room(above), room(here)
            if level.get(other, 99) < level.get(one, 0):
                climbs.add((one, other))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan, scan = pipeline(folder), write_scan(folder / "scan.nii.gz")
        sys.setprofile(watch)
        restore(plan, read_input(scan), folder / "out.h5")
        sys.setprofile(None)
    return files, climbs


def main() -> None:
    """Print the counts."""
    listed = subprocess.run(
        ["git", "ls-files", PACKAGE], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    files = [ROOT / name for name in listed if name.endswith(".py")]
    lengths = {path: len(path.read_text().splitlines()) for path in files}
    entries = {Path(name).parts[1] for name in listed}
    chain, (stays, climbs) = floors(files), trip()
    for line in (
        f"lines of the library: {sum(lengths.values())} in {len(files)} files",
        f"files over 300 lines: {sum(n > 300 for n in lengths.values())}",
        f"entries at the top: {len(entries)}",
        f"layers of the import contract: {len(layers())}",
        f"floors of the import graph: {len(chain)} ({' > '.join(chain)})",
        f"files of restoration that one scan enters: {len(stays)}",
        f"climbs of one scan: {len(climbs)} {sorted(climbs) or ''}",
    ):
        print(line)  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
