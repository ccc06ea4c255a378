"""A posterior file as a Zarr store: the same tree."""

from pathlib import Path

import pytest
import xarray as xr

from tests.posterior.runs import finished, plan
from uqrestore.posterior import PosteriorError, export_zarr


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
