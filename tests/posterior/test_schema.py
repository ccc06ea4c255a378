"""A posterior file says what it holds, and every damage to it is found."""

import io
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import pytest
import xarray as xr

from tests.posterior.runs import finished, images, plan
from uqrestore.posterior import (
    SCHEMA,
    PosteriorPlan,
    PosteriorWriter,
    Storage,
    inspect,
    integrity,
    validate,
    validation,
)

MIXING = {"coil_mixing": (("ri", "scanner_coil", "coil"), np.zeros((2, 3, 3), np.float32))}
BOX = {"/interval/half_width", "/interval/radius"}
"""What a file holds instead of intervals of pixels."""


def full_plan() -> PosteriorPlan:
    return plan(
        operator=("masked_fourier", {"channels": 1}, {"mask": np.eye(7, 6) > 0}),
        y=(("z", "ri", "ky", "kx"), np.random.default_rng(0).normal(size=(3, 2, 7, 6))),
        noise_std=np.array([0.1, 0.2, 0.3]),
        observed={"mask": (("ky", "kx"), np.eye(7, 6) > 0), **MIXING},
        mask=np.ones((3, 7, 6), bool),
        reference={"truth": np.ones((3, 1, 7, 6), np.float32)},
        stats=("residual",),
        scope={"in_scope": False, "findings": ["too [large]"]},
        provenance={"method": "ssd", "steps": np.int64(30)},
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("whole") / "a.h5", full_plan())


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.h5"
    path.write_bytes(whole.read_bytes())
    return path


def test_a_finished_file_is_sound(whole: Path) -> None:
    assert validate(whole) == []


@pytest.mark.parametrize("channels", [1, 2])
def test_every_variable_of_the_schema_is_written(channels: int, tmp_path: Path) -> None:
    of = plan(channels=channels, y=(("z",), np.ones(3)), draws=9, observed=MIXING)
    path = finished(tmp_path / "a.h5", of, Storage(keep="thin"))
    other = finished(tmp_path / "b.h5", of, box=True)
    assert validate(other) == []
    with h5netcdf.File(path) as intervals, h5netcdf.File(other) as box:
        for name, variable in SCHEMA.items():
            file = box if name in BOX else intervals
            dims = file[name].dimensions
            if variable.dims is not None:
                wanted = [d for d in variable.dims if d != "channel" or channels > 1]
                assert dims == tuple(wanted), name
    assert validate(path) == []


def test_xarray_reads_the_tree_with_its_geometry(whole: Path) -> None:
    of = full_plan()
    with xr.open_datatree(whole) as tree:
        image: xr.DataArray = tree["posterior/image"]  # type: ignore[assignment]
        assert image.dims == ("chain", "draw", "z", "y", "x")
        assert image.attrs["units"] == "a.u."
        grid = of.placement.model
        np.testing.assert_allclose(image["z"], grid.coordinates(2)[list(of.slices)])
        np.testing.assert_allclose(image["x"], grid.coordinates(0))
        affine = np.reshape(tree["affine"].attrs["affine_ras"], (4, 4))
        np.testing.assert_array_equal(affine, grid.affine)
        assert tree["observed_data/y"].dims == ("z", "ri", "ky", "kx")
        np.testing.assert_array_equal(np.asarray(tree["observed_data/y"]), of.y[1])
        assert tree["constant_data/brain_mask"].dtype == bool
        assert tree["reference/truth"].dims == ("z", "y", "x")


def test_plain_h5py_reads_the_draws(whole: Path) -> None:
    with h5py.File(whole) as file:
        draws = file["posterior/image"]
        assert isinstance(draws, h5py.Dataset)
        np.testing.assert_array_equal(
            np.asarray(draws)[0, 2, 1], images(full_plan(), [2], [2])[0, 0, 0]
        )
        assert [dim.keys()[0] for dim in draws.dims] == ["chain", "draw", "z", "y", "x"]
        assert (draws.maxshape or ())[1:2] == (None,), "draws may be appended"


def test_any_flipped_byte_is_found(whole: Path, copy: Path) -> None:
    content = whole.read_bytes()
    rng = np.random.default_rng(0)
    places = {0, 8, len(content) - 1, *rng.integers(0, len(content), 9).tolist()}
    for place in sorted(places):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        copy.write_bytes(bytes(damaged))
        assert validate(copy), f"byte {place} was flipped and not found"


def test_a_damaged_array_is_named(copy: Path) -> None:
    with h5py.File(copy) as file:
        chunk = file["posterior/image"].id.get_chunk_info(7)  # type: ignore[union-attr]
    content = bytearray(copy.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 4
    copy.write_bytes(bytes(content))
    faults = validate(copy)
    assert any(fault.startswith("/posterior/image: ") for fault in faults)
    assert any(fault.startswith("file: a byte has changed") for fault in faults)
    inspection = inspect(copy)
    assert list(inspection.faults) == faults
    assert {"image", "mmse"} <= {row.variable for row in inspection.rows}


def test_bytes_after_the_end_and_a_lost_end_are_found(whole: Path, copy: Path) -> None:
    content = whole.read_bytes()
    copy.write_bytes(content + b"\0")
    assert validate(copy) == ["file: a byte has changed since it was written (SHA-256 differs)"]
    copy.write_bytes(content[: len(content) // 2])
    assert validate(copy)


@pytest.mark.parametrize("fate", ["endless", "crashing"])
def test_a_file_that_hangs_or_kills_hdf5_is_given_up(
    fate: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "CHILD_SECONDS", 3.0)
    assert integrity.in_child(f"tests.posterior.runs:{fate}", copy) is None
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(bytes(content))
    monkeypatch.setattr(validation, "in_child", lambda *_: None)
    assert "damaged beyond reading" in validate(copy)[1]


def change(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as opened:
        file: dict = opened  # type: ignore[assignment]
        if name == "values":
            file["estimate/mmse"][0, 0, 0] += 1
        elif name == "missing":
            del file["posterior/valid"]
        elif name == "slabs":
            file["posterior/valid"][0, 0, 0] = 0
        elif name == "affine":
            moved = file["affine"].attrs["affine_ras"]
            moved[3] += 5
            file["affine"].attrs["affine_ras"] = moved
        elif name == "operator":
            file["constant_data/mask"][0, 0] = 0
        elif name == "norm":
            file["estimate/pc"][0, 0] *= 2
        elif name == "status":
            opened.attrs["status"] = "done"
        elif name == "json":
            opened.attrs["provenance"] = "{"
        elif name == "conventions":
            opened.attrs["Conventions"] = "CF-1.11"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("values", "/estimate/mmse: its values are not those"),
        ("missing", "/posterior/valid: is missing"),
        ("slabs", "1 slabs of a complete file are missing"),
        ("affine", "affine_ras and placement disagree"),
        ("operator", "/operator: name, parameters and arrays"),
        ("norm", "does not have unit norm"),
        ("status", "status is 'done'"),
        ("json", "provenance is not JSON"),
        ("conventions", "no uqrestore-1 posterior file"),
    ],
)
def test_a_fault_has_a_name(name: str, words: str, copy: Path) -> None:
    change(copy, name)
    assert any(words in fault for fault in validate(copy)), validate(copy)


def test_what_is_no_hdf5_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("text")
    assert "not HDF5" in validate(tmp_path / "a.h5")[0]
    assert "does not exist" in validate(tmp_path / "b.h5")[0]
    assert "is a folder" in validate(tmp_path)[0]


def test_an_inspection_names_everything(whole: Path) -> None:
    from rich.console import Console

    inspection = inspect(whole)
    names = {f"{row.group.rstrip('/')}/{row.variable}" for row in inspection.rows}
    assert {name for name in SCHEMA if not name.startswith("/moments/")} - BOX <= names
    assert inspection.faults == ()
    assert dict(inspection.header)["status"] == "complete, 15 of 15 slabs"
    console = Console(file=io.StringIO(), record=True, width=120)
    console.print(inspection.table())
    text = console.export_text()
    assert "/posterior/image" in text
    assert "too [large]" in text, "brackets of a finding are no markup"
    assert "psnr" in text


def test_a_partial_file_can_be_inspected_while_it_grows(tmp_path: Path) -> None:
    of = plan()
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        writer.write([1], [2], images(of, [1], [2]))
        inspection = inspect(tmp_path / "a.h5.part")
    assert dict(inspection.header)["status"] == "partial, 1 of 15 slabs"
    assert inspection.faults == ()
