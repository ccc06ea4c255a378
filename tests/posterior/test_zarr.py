"""A posterior file as a Zarr store: the same tree, or maps as an OME-Zarr image."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner

from tests.posterior.runs import finished, plan, two_channels
from uqrestore.cli.app import app
from uqrestore.posterior import PosteriorError, PosteriorFile, export_ome_zarr, export_zarr
from uqrestore.posterior.example import example_plan


def test_every_group_and_attribute_is_the_same(tmp_path: Path) -> None:
    file = finished(tmp_path / "a.h5", plan(stats=("residual",)))

    store = export_zarr(file, tmp_path / "a.zarr")

    with (
        xr.open_datatree(file, engine="h5netcdf") as one,
        xr.open_datatree(store, engine="zarr", consolidated=False) as other,
    ):
        assert one.equals(other)
        assert one.attrs["fingerprint"] == other.attrs["fingerprint"]
        assert other["affine"].attrs["orientation"] == "RAS"
    assert [path.name for path in tmp_path.glob(".writing*")] == []
    with pytest.raises(PosteriorError, match=r"a\.zarr: exists already"):
        export_zarr(file, store)
    assert export_zarr(file, store, overwrite=True) == store


def metadata(store: Path) -> dict[str, Any]:
    return json.loads((store / "zarr.json").read_text())["attributes"]["ome"]


def read(store: Path, level: str) -> np.ndarray:
    array: Any = zarr.open_array(store, path=level, mode="r")
    return np.asarray(array[:])


def test_maps_are_channels_of_an_image_in_mm(tmp_path: Path) -> None:
    of = example_plan(draws=5, slices=(0, 2), shape=(70, 35))
    file = finished(tmp_path / "a.h5", of)

    store = export_ome_zarr(file, tmp_path / "a.ome.zarr", maps=("std", "pc", "draws"))

    stated = metadata(store)
    (scales,) = stated["multiscales"]
    assert [axis["name"] for axis in scales["axes"]] == ["c", "z", "y", "x"]
    assert [axis.get("unit") for axis in scales["axes"]] == [None, *3 * ["millimeter"]]
    labels = [channel["label"] for channel in stated["omero"]["channels"]]
    assert labels == ["std", "pc 1", "pc 2", *(f"draw {i}" for i in range(1, 6))]
    fine, coarse = (read(store, level["path"]) for level in scales["datasets"])
    with PosteriorFile(file) as posterior:
        for number, expected in (
            (0, posterior.variable("std")),
            (2, posterior.variable("pc").isel(component=1)),
            (4, posterior["posterior/image"].isel(draw=1)),
        ):
            values = np.squeeze(expected.values)
            restored = np.isfinite(fine[number]).all((1, 2))
            np.testing.assert_array_equal(fine[number][restored], values)
        x, y, z = posterior.placement.model.spacing
    assert fine.shape[-2:] == (70, 35)
    assert coarse.shape[-2:] == (35, 18)
    left = fine[:, :, :, :34].reshape(*fine.shape[:2], 35, 2, 17, 2)
    np.testing.assert_allclose(coarse[..., :17], left.mean((3, 5)), rtol=1e-5)
    edge = fine[..., 34].reshape(*fine.shape[:2], 35, 2)
    np.testing.assert_allclose(coarse[..., 17], edge.mean(-1), rtol=1e-5)
    first, second = (level["coordinateTransformations"] for level in scales["datasets"])
    assert first == [
        {"type": "scale", "scale": [1, z, y, x]},
        {"type": "translation", "translation": [0, 0, 0, 0]},
    ]
    assert second == [
        {"type": "scale", "scale": [1, z, 2 * y, 2 * x]},
        {"type": "translation", "translation": [0, 0, y / 2, x / 2]},
    ]


def test_both_parts_of_a_complex_image_are_channels(tmp_path: Path) -> None:
    file = finished(tmp_path / "a.posterior.h5", two_channels())

    result = CliRunner().invoke(app, ["export", str(file), "--ome-zarr", "--map", "mmse"])

    assert result.exit_code == 0, result.output
    stated = metadata(tmp_path / "a.posterior.ome.zarr")
    labels = [channel["label"] for channel in stated["omero"]["channels"]]
    assert labels == ["mmse, channel 0", "mmse, channel 1"]
    with pytest.raises(PosteriorError, match=r"ome\.zarr: exists already; pass --overwrite"):
        export_ome_zarr(file, tmp_path / "a.posterior.ome.zarr")
    with pytest.raises(PosteriorError, match="nothing"):
        export_ome_zarr(file, tmp_path / "b.ome.zarr", maps=("nothing",))
    with pytest.raises(PosteriorError, match="no maps to write; name some"):
        export_ome_zarr(file, tmp_path / "b.ome.zarr", maps=())
    assert not (tmp_path / "b.ome.zarr").exists()
