"""The reader of posterior files: every map against plain h5py."""

import fcntl
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.posterior.runs import finished, images, plan, two_channels
from tests.reports.cases import write_newer, write_partial
from uqrestore.posterior import (
    PosteriorError,
    PosteriorFile,
    PosteriorWriter,
    export_nifti,
    inspect,
    read_operator,
    validate,
)
from uqrestore.posterior.example import example_plan
from uqrestore.posterior.view import images_of


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    of = plan(reference={"truth": images(example_plan(), [9], [0, 2, 3])[0]}, unit="HU")
    return finished(tmp_path_factory.mktemp("view") / "brain.posterior.h5", of)


def test_the_header_is_read_without_xarray(path: Path) -> None:
    file = PosteriorFile(path)

    assert (file.stem, file.status, file.complete, file.schema) == ("brain", "complete", True, 1)
    assert file.figures == {"psnr": 31.5}
    assert file.scope is None
    assert "versions" in file.provenance
    assert "tree" not in vars(file), "a catalogue of thousands must not open every tree"


def test_maps_are_those_of_the_file(path: Path) -> None:
    with PosteriorFile(path) as file, h5py.File(path) as plain:
        for found, place in (
            (file.mean, "estimate/mmse"),
            (file.std, "estimate/std"),
            (file.components, "estimate/pc"),
            (file.component_std, "estimate/pc_std"),
            (file.truth, "reference/truth"),
            (file.samples.unstack("sample"), "posterior/image"),
        ):
            assert found is not None
            wanted = np.asarray(plain[place])
            if place == "posterior/image":
                found, wanted = found.transpose("chain", "draw", ...), wanted
            np.testing.assert_array_equal(found.values, wanted)
        assert file.mean.dims == ("z", "y", "x")
        assert file.unit == "HU"
        assert file.zero_filled is None
        assert file.phase is None
        assert file.guarantee == {"alpha": 0.1}
        assert file.slices.tolist() == [0, 2, 3]
        assert file.operator().name == "identity"


def test_images_keep_their_channels(tmp_path: Path) -> None:
    of = two_channels()
    with PosteriorFile(finished(tmp_path / "a.h5", of)) as file:
        draws = images_of(file["posterior/image"].isel(chain=0))
        np.testing.assert_array_equal(draws, images(of, list(range(5)), list(of.slices)))
        assert file.channels == 2
        assert file.mean.dims == ("z", "y", "x")
        assert file.complex_image
        mmse = images_of(file.variable("mmse"))
        np.testing.assert_allclose(file.mean, np.hypot(mmse[:, 0], mmse[:, 1]), rtol=1e-6)
        assert file.phase is not None
        np.testing.assert_allclose(file.phase, np.arctan2(mmse[:, 1], mmse[:, 0]), atol=1e-6)
        size = np.hypot(draws[:, :, 0], draws[:, :, 1])
        np.testing.assert_allclose(file.std, size.std(axis=0, ddof=1), rtol=1e-4)
        # A step along a component, small beside the mean, moves the magnitude by what is shown.
        step = 1e-2 * images_of(file.variable("pc").transpose("component", ...))[0]
        moved = np.hypot(*np.moveaxis(mmse.astype(float) + step, 1, 0))
        change = moved - np.hypot(*np.moveaxis(mmse.astype(float), 1, 0))
        np.testing.assert_allclose(1e-2 * file.components.values[0], change, atol=1e-5)
        pc = images_of(file.variable("pc").transpose("component", ...))
        np.testing.assert_allclose((pc**2).sum(axis=(2, 3, 4)), 1, atol=1e-5)


def test_a_file_that_no_lock_can_be_had_of_is_read_by_everything(path: Path) -> None:
    with path.open("rb+") as held:  # HDF5 gets no lock, as on a drive without them
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="lock"):
            h5py.File(path, "r")
        with PosteriorFile(path) as file:
            assert np.isfinite(file["estimate/mmse"].values).all()
        assert validate(path) == []
        assert inspect(path).faults == ()
        read_operator(path)
        export_nifti(path, path.parent)


def test_a_partial_file_is_nan_where_nothing_is_written_and_stays_on_disk(tmp_path: Path) -> None:
    part = write_partial(tmp_path / "a.h5")
    with PosteriorFile(part) as file:
        draws = file["posterior/image"]
        assert not draws.variable._in_memory
        assert file.valid.sum(dim="draw").values.tolist() == [3, 3, 3]
        values = draws.values
        assert np.isfinite(values[:, :3]).all()
        assert np.isnan(values[:, 3:]).all()
        assert np.isnan(draws.isel(draw=[1, 4], z=slice(1, None)).values[0, 1]).all()
        assert float(file.samples[1, 2, 3, 4]) == values[0, 1, 2, 3, 4]
        with pytest.raises(PosteriorError, match="is not finished, so it holds no mmse"):
            _ = file.mean


def test_what_is_missing_is_named(path: Path) -> None:
    with PosteriorFile(path) as file:
        with pytest.raises(PosteriorError, match="holds no map 'mean'; it can be mmse, std"):
            file.variable("mean")
        with pytest.raises(PosteriorError, match="does not state the intensity range"):
            _ = file.intensity
        assert file.find("nowhere/mmse") is None
        assert file.find("estimate/nothing") is None


def test_a_newer_schema_is_refused_unless_the_reader_says_so(tmp_path: Path) -> None:
    newer = write_newer(tmp_path / "a.h5")
    with pytest.raises(PosteriorError, match=r"has schema uqrestore-2 .* upgrade uqrestore"):
        PosteriorFile(newer)
    assert PosteriorFile(newer, newer=True).schema == 2


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, "null"])
def test_attributes_that_are_no_json_object_are_named(text: str, tmp_path: Path) -> None:
    with PosteriorWriter(tmp_path / "a.h5", plan()) as writer:
        writer.write([0], [0], images(writer.plan, [0], [0]))
    with h5py.File(tmp_path / "a.h5.part", "r+") as file:
        file.attrs["provenance"] = text
    with pytest.raises(PosteriorError, match="attribute provenance is no"):
        _ = PosteriorFile(tmp_path / "a.h5.part").provenance


@pytest.mark.parametrize("name", ["missing.h5", "text.h5", "other.h5", ""])
def test_what_is_no_posterior_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("text")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(PosteriorError):
        PosteriorFile(tmp_path / name)
