"""Data fit of a report at intensities whose squares are beyond float32."""

from pathlib import Path

import numpy as np
import pytest

from uqrestore.reports.data_fit import DataFit, measure_data_fit
from uqrestore.reports.example import INTENSITY, write_example
from uqrestore.reports.read import read_contents
from uqrestore.scans import Intensity


def fit_of(path: Path, noise_std: float) -> DataFit:
    contents = read_contents(write_example(path, slices=2, draws=6, noise_std=noise_std))
    fit = measure_data_fit(contents, contents.draws)
    assert isinstance(fit, DataFit)
    return fit


@pytest.mark.parametrize("noise_std", [0.05, 0.0])
@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_the_data_fit_does_not_depend_on_the_unit(
    unit: float, noise_std: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fit_of(tmp_path / "plain.h5", noise_std)
    scaled = Intensity(INTENSITY.shift * unit, INTENSITY.scale * unit)
    monkeypatch.setattr("uqrestore.reports.example.INTENSITY", scaled)
    fit = fit_of(tmp_path / "scaled.h5", noise_std)

    np.testing.assert_allclose(fit.draws, plain.draws, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(fit.gram, plain.gram, rtol=1e-2, atol=1e-5)
