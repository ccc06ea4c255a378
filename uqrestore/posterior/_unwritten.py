"""Draws of a partial file as a lazy array: NaN where nothing is written yet."""

from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing


class _Written(BackendArray):
    def __init__(self, draws: xr.DataArray, valid: xr.DataArray) -> None:
        self.draws, self.written = draws, valid == 1
        self.shape, self.dtype = draws.shape, draws.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        where = dict(zip(self.draws.dims, key, strict=True))
        written = self.written.isel({dim: where[dim] for dim in self.written.dims})
        return self.draws.isel(where).where(written).values


def where_written(draws: xr.DataArray, valid: xr.DataArray) -> xr.DataArray:
    """Return the draws, NaN in every slice whose mark in ``valid`` is not 1; nothing is loaded."""
    lazy = indexing.LazilyIndexedArray(_Written(draws, valid.load()))
    return draws.copy(data=lazy)
