"""Posterior files that somebody has forged, with a digest that is right again."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.posterior.runs import finished, plan
from uqrestore.posterior import Storage
from uqrestore.posterior.integrity import DIGEST_BYTES, MARK, file_sha256

SECRET = b"root:x:0:0: of the system and not of the scan"
Change = Callable[[Any, Path], None]


def forge(folder: Path, change: Change) -> Path:
    """Write a sound file, change it with h5py, and make its digest right again."""
    folder.mkdir(exist_ok=True)
    (folder / "secret").write_bytes(SECRET * 100)
    finished(folder / "other.h5", plan(seed=7))
    path = finished(folder / "forged.posterior.h5", plan(draws=12), Storage(keep="thin"))
    with h5py.File(path, "r+") as file:
        change(file, folder)
    seal(path)
    return path


def seal(path: Path) -> None:
    """Make the digest of a file right."""
    place = path.read_bytes().find(MARK) + len(MARK)
    with path.open("r+b") as file:
        digest = file_sha256(file, place)
        assert len(digest) == DIGEST_BYTES
        file.seek(place)
        file.write(digest)


def external_storage(file: Any, folder: Path) -> None:  # noqa: ANN401
    shape = file["estimate/mmse"].shape
    del file["estimate/mmse"]
    where = [(str(folder / "secret"), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("estimate/mmse", shape, "<f4", external=where)


def external_link(file: Any, folder: Path) -> None:  # noqa: ANN401
    del file["estimate/mmse"]
    file["estimate/mmse"] = h5py.ExternalLink(str(folder / "other.h5"), "/estimate/mmse")


def link_to_a_pipe(file: Any, folder: Path) -> None:  # noqa: ANN401
    import os

    os.mkfifo(folder / "pipe")
    file["estimate/more"] = h5py.ExternalLink(str(folder / "pipe"), "/x")


def soft_link(file: Any, _folder: Path) -> None:  # noqa: ANN401
    del file["estimate/std"]
    file["estimate/std"] = h5py.SoftLink("/estimate/mmse")


def soft_loop(file: Any, _folder: Path) -> None:  # noqa: ANN401
    file["estimate/a"] = h5py.SoftLink("/estimate/b")
    file["estimate/b"] = h5py.SoftLink("/estimate/a")


def group_in_itself(file: Any, _folder: Path) -> None:  # noqa: ANN401
    file["estimate/itself"] = file["estimate"]


def many_ways(file: Any, _folder: Path) -> None:  # noqa: ANN401
    below = file.create_group("g0")
    for level in range(1, 40):  # two ways down at every level: 2 ** 40 paths
        group = file.create_group(f"g{level}")
        below["one"] = below["other"] = group
        below = group


def virtual(file: Any, folder: Path) -> None:  # noqa: ANN401
    shape = file["estimate/mmse"].shape
    layout = h5py.VirtualLayout(shape, "<f4")
    layout[...] = h5py.VirtualSource(str(folder / "other.h5"), "estimate/mmse", shape)
    del file["estimate/mmse"]
    file.create_virtual_dataset("estimate/mmse", layout)


def huge(file: Any, _folder: Path) -> None:  # noqa: ANN401
    del file["estimate/std"]
    file.create_dataset("estimate/std", (10**4, 10**5, 10**5), "<f4", chunks=(1, 8, 8))


def wide(file: Any, _folder: Path) -> None:  # noqa: ANN401
    file.create_dataset("constant_data/wide", (2**40,), "<f8", chunks=(2**10,))


def text(file: Any, _folder: Path) -> None:  # noqa: ANN401
    del file["estimate/std"]
    file["estimate/std"] = ["a", "b"]


def compound(file: Any, _folder: Path) -> None:  # noqa: ANN401
    del file["posterior/valid"]
    file["posterior/valid"] = np.zeros((1, 8, 3), [("a", "u1"), ("b", "f4")])


def references(file: Any, _folder: Path) -> None:  # noqa: ANN401
    del file["slice"]
    dataset = file.create_dataset("slice", (3,), h5py.ref_dtype)
    dataset[0] = file["posterior"].ref


def nothing(file: Any, _folder: Path) -> None:  # noqa: ANN401
    del file["estimate/mmse"]
    file["estimate/mmse"] = h5py.Empty("<f4")


REFUSED: dict[str, Change] = {
    change.__name__: change
    for change in (
        external_storage, external_link, link_to_a_pipe, soft_link, soft_loop, group_in_itself,
        many_ways, virtual, huge, wide, text, compound, references, nothing,
    )
}  # fmt: skip
"""What no reader may open."""


def without_hash(file: Any, _folder: Path) -> None:  # noqa: ANN401
    del file["estimate/std"].attrs["sha256"]


def odd_hash(file: Any, _folder: Path) -> None:  # noqa: ANN401
    file["estimate/std"].attrs["sha256"] = np.arange(3)


def another_hash(file: Any, _folder: Path) -> None:  # noqa: ANN401
    file["estimate/std"].attrs["sha256"] = hashlib.sha256(b"").hexdigest()


def unknown_variable(file: Any, _folder: Path) -> None:  # noqa: ANN401
    file["estimate/extra"] = np.zeros((3, 7, 6), np.float32)


FAULTY: dict[str, Change] = {
    change.__name__: change for change in (without_hash, odd_hash, another_hash, unknown_variable)
}
"""What ``validate`` must name."""

ODD_VALUES: tuple[Any, ...] = (
    "", "{", "[]", "null", "\x1b[2J", "[" * 5000, '{"a": NaN}', b"\xff\xfe", 0, -1, 1e308, np.nan,
    np.zeros(0), np.arange(5.0), np.array(["x", "y"], h5py.string_dtype()),
)  # fmt: skip


def mutate(file: Any, rng: np.random.Generator) -> str:  # noqa: ANN401
    """Change a random thing of a file, and return what."""
    places: list[str] = []
    file.visit(places.append)
    name = str(rng.choice([place for place in places if "integrity" not in place]))
    item = file[name]
    kind = str(rng.choice(["attribute", "no attribute", "delete", "reshape", "retype", "values"]))
    if "attribute" in kind:
        item = file if rng.random() < 0.3 else item
        own = [key for key in item.attrs if key.isidentifier() and key.islower()]
        if not own:
            return "nothing"
        key = str(rng.choice(own))
        if kind == "attribute":
            item.attrs[key] = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
        else:
            del item.attrs[key]
        return f"{kind} {key} of {item.name}"
    if kind == "delete" or not isinstance(item, h5py.Dataset) or not item.size:
        del file[name]
        return f"delete {name}"
    values = item[...]
    del file[name]
    if kind == "reshape":
        file[name] = values.reshape(-1)[: max(1, values.size // 2)]
    elif kind == "retype":
        dtypes = ["<i2", "<f8", "<c8", "u1"]
        with np.errstate(all="ignore"):
            file[name] = np.asarray(values, dtypes[int(rng.integers(len(dtypes)))])
    else:
        odd = np.array([np.nan, np.inf, -1e30, 0.0])[int(rng.integers(4))]
        with np.errstate(all="ignore"):
            file[name] = np.full(values.shape, odd).astype(values.dtype)
    return f"{kind} of {name}"
