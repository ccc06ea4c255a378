"""Forged and malformed files: refused in one line, by every reader, without a hang."""

import shutil
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.posterior.forged import FAULTY, REFUSED, SECRET, forge, mutate, seal
from uqrestore.posterior import (
    PosteriorError,
    PosteriorFile,
    export_array,
    export_nifti,
    export_ome_zarr,
    export_zarr,
    inspect,
    open_posterior,
    read_operator,
    read_placement,
    validate,
)
from uqrestore.reports.page import write_report

Reader = Callable[[Path, Path], object]
READERS: dict[str, Reader] = {
    "file": lambda path, _: PosteriorFile(path),
    "open": lambda path, _: open_posterior(path),
    "operator": lambda path, _: read_operator(path),
    "placement": lambda path, _: read_placement(path),
    "inspect": lambda path, _: inspect(path),
    "nifti": lambda path, out: export_nifti(path, out / "maps"),
    "array": lambda path, out: export_array(path, out / "all.npz"),
    "zarr": lambda path, out: export_zarr(path, out / "all.zarr"),
    "ome-zarr": lambda path, out: export_ome_zarr(path, out / "all.ome.zarr"),
    "report": lambda path, out: write_report(path, out),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", REFUSED)
def test_values_of_other_files_and_structures_of_no_writer_are_refused(
    name: str, tmp_path: Path
) -> None:
    path = forge(tmp_path / "forged", REFUSED[name])
    (out := tmp_path / "out").mkdir()
    for reader in READERS.values():
        with pytest.raises(PosteriorError) as caught:
            reader(path, out)
        assert "\n" not in str(caught.value)
        assert SECRET[:8].decode() not in str(caught.value)
    assert list(out.rglob("*.*")) == []
    faults = validate(path)
    assert len(faults) == 1
    assert faults[0].startswith("file: ")


@pytest.mark.parametrize("name", FAULTY)
def test_every_variable_has_a_hash_that_is_right(name: str, tmp_path: Path) -> None:
    faults = validate(forge(tmp_path / "forged", FAULTY[name]))
    assert len(faults) == 1
    assert "SHA-256" in faults[0]


def outcome(reader: Reader, path: Path, out: Path) -> Exception | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NaN in the values
        try:
            reader(path, out)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells
            return error
    return None


def fuzz(folder: Path, seeds: Iterable[int]) -> None:
    """Mutate a file in many ways; whatever a reader says it says as ``PosteriorError``."""
    sound = forge(folder / "sound", lambda *_: None)
    assert validate(sound) == []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        path, out = folder / f"{seed}.posterior.h5", folder / f"out{seed}"
        shutil.copyfile(sound, path)
        out.mkdir()
        with h5py.File(path, "r+") as file:
            done = [mutate(file, rng) for _ in range(int(rng.integers(1, 4)))]
        seal(path)
        fault = outcome(lambda where, _: validate(where), path, out)
        assert fault is None, f"seed {seed}, {done}: validate raised {fault!r}"
        for name, reader in READERS.items():
            error = outcome(reader, path, out)
            assert error is None or (
                isinstance(error, PosteriorError) and "\n" not in str(error)
            ), f"seed {seed}, {done}: {name} raised {error!r}"
        shutil.rmtree(out)
        path.unlink()


@pytest.mark.timeout(300)
def test_malformed_files_are_refused_or_read(tmp_path: Path) -> None:
    fuzz(tmp_path, (*range(8), 199))  # 199: a variable without named dimensions, once a warning


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_malformed_files_are_refused_or_read(tmp_path: Path) -> None:
    fuzz(tmp_path, range(8, 300))
