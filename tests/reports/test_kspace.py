"""Data fit of multi-coil k-space: the faulty coil and the faulty ring are seen."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from uqrestore.operators import CoilFourier
from uqrestore.posterior import PosteriorFile, PosteriorWriter
from uqrestore.posterior.example import example_plan
from uqrestore.reports import slice_figure
from uqrestore.reports.data_fit import RINGS, DataFit, measure_data_fit
from uqrestore.reports.method_card import find_calibration
from uqrestore.reports.page import write_report
from uqrestore.reports.panels import Extent, Panel
from uqrestore.reports.read import read_contents

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COILS, SIZE, SLICES, NOISE = 4, 24, 3, 2.0


def write(path: Path, gain: np.ndarray) -> Path:
    """Write draws equal to the truth, whose noise is ``gain`` times what the file states."""
    g = torch.Generator().manual_seed(0)
    maps = torch.randn(COILS, SIZE, SIZE, generator=g, dtype=torch.complex64)
    mask = torch.rand(SIZE, SIZE, generator=g) < 0.5
    operator = CoilFourier(mask, maps, torch.zeros(SIZE, SIZE))
    truth = 100 + 10 * torch.randn(SLICES, 1, SIZE, SIZE, generator=g)
    noise = (
        NOISE
        * torch.from_numpy(gain).float()
        * torch.randn(SLICES, 2, COILS, SIZE, SIZE, generator=g)
    )
    y = operator(truth) + mask * noise
    plan = dataclasses.replace(
        example_plan(draws=3, slices=tuple(range(SLICES)), shape=(SIZE, SIZE)),
        operator=(operator.name, *operator.to_data()),
        y=(("z", *operator.axes), y.numpy()),
        noise_std=NOISE,
    )
    with PosteriorWriter(path, plan) as writer:
        writer.write(range(3), plan.slices, truth.expand(3, *truth.shape).numpy())
        return writer.finish(writer.summarise(components=0))


def fit_of(path: Path) -> DataFit:
    contents = read_contents(path)
    fit = measure_data_fit(contents, contents.draws)
    assert isinstance(fit, DataFit)
    return fit


def test_coils_and_rings_of_a_right_model_fit(tmp_path: Path) -> None:
    fit = fit_of(write(tmp_path / "a.h5", np.ones((COILS, 1, 1))))
    np.testing.assert_allclose(fit.coils, 1, atol=0.15)
    np.testing.assert_allclose(fit.rings, 1, atol=0.35)
    assert len(fit.rings) == RINGS
    assert fit.typical == np.clip(fit.typical, 0.9, 1.1)


def test_the_coil_with_more_noise_is_seen(tmp_path: Path) -> None:
    gain = np.ones((COILS, 1, 1))
    gain[2] = 3
    fit = fit_of(write(tmp_path / "a.h5", gain))
    assert fit.coils.argmax() == 2
    np.testing.assert_allclose(fit.coils, [1, 1, 9, 1], rtol=0.2)


def test_the_ring_with_less_noise_is_seen(tmp_path: Path) -> None:
    half = np.arange(SIZE) - SIZE // 2
    outer = np.hypot(*np.meshgrid(half, half)) / (SIZE / 2) >= 0.7
    fit = fit_of(write(tmp_path / "a.h5", np.where(outer, 0.1, 1.0)))
    assert (fit.rings[:6] > 0.6).all()
    assert (fit.rings[8:] < 0.05).all()


def write_complex(path: Path) -> tuple[Path, np.ndarray]:
    """Write draws of a complex image: the truth plus a tenth of it in phase, and noise."""
    g = torch.Generator().manual_seed(0)
    maps = torch.randn(COILS, SIZE, SIZE, generator=g, dtype=torch.complex64)
    operator = CoilFourier(torch.rand(SIZE, SIZE, generator=g) < 0.7, maps)
    truth = 100 * torch.randn(SLICES, 2, SIZE, SIZE, generator=g)
    y = operator(truth)
    y = y + operator.row_mask * NOISE * torch.randn(y.shape, generator=g)
    draws = truth + 0.1 * NOISE * torch.randn(8, *truth.shape, generator=g)
    plan = dataclasses.replace(
        example_plan(draws=8, slices=tuple(range(SLICES)), shape=(SIZE, SIZE)),
        channels=2,
        provenance={
            "pipeline": {
                "method": {"name": "local_gaussian"},
                "operator": {"name": "masked_fourier"},  # keeps lines of fully sampled k-space
            }
        },
        operator=(operator.name, *operator.to_data()),
        y=(("z", *operator.axes), y.numpy()),
        reference={"truth": truth.numpy()},
        noise_std=NOISE,
    )
    with PosteriorWriter(path, plan) as writer:
        writer.write(range(8), plan.slices, draws.numpy())
        return writer.finish(writer.summarise(components=2)), draws.numpy()


def test_complex_images_are_shown_by_magnitude_and_phase(tmp_path: Path) -> None:
    path, draws = write_complex(tmp_path / "a.h5")
    contents = read_contents(path)
    mean, size = draws.mean(axis=0), np.linalg.norm(draws, axis=2)
    np.testing.assert_allclose(contents.maps["mean"], np.linalg.norm(mean, axis=1), rtol=1e-5)
    np.testing.assert_allclose(contents.maps["std"], size.std(axis=0, ddof=1), rtol=1e-2)
    np.testing.assert_allclose(contents.draw(3), size[3], rtol=1e-6)
    assert (contents.maps["low"] <= size.mean(axis=0)).all()
    assert contents.phase is not None
    np.testing.assert_allclose(contents.phase, np.arctan2(mean[:, 1], mean[:, 0]), atol=1e-4)
    page = write_report(path, tmp_path / "out").page.read_text()
    assert 'id="map-phase"' in page
    assert "Images are magnitudes" in page


def test_the_figure_of_a_slice_has_two_rows_of_what_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Panel] = []
    draw = slice_figure.draw_panel

    def kept(axes: "Axes", panel: Panel, at: int, extent: Extent) -> None:
        drawn.append(panel)
        draw(axes, panel, at, extent)

    monkeypatch.setattr(slice_figure, "draw_panel", kept)
    path, draws = write_complex(tmp_path / "a.h5")
    picture = slice_figure.draw_slice(path, tmp_path / "a.png")

    assert picture.read_bytes().startswith(b"\x89PNG")
    by_title = {panel.title: panel for panel in drawn}
    assert list(by_title) == [
        "reference", "posterior mean", "one posterior draw", "posterior standard deviation",
        "|mean - reference|", "phase of the mean",
    ]  # fmt: skip
    np.testing.assert_allclose(
        by_title["one posterior draw"].values, np.linalg.norm(draws[0], axis=1), rtol=1e-5
    )
    spread, error = drawn[3:5]
    assert (spread.low, spread.high) == (error.low, error.high), "one scale for both"
    assert np.abs(drawn[5].values).max() > 90, "degrees"


def test_calibration_is_that_of_the_operator_on_the_images(tmp_path: Path) -> None:
    contents = read_contents(write_complex(tmp_path / "a.h5")[0])
    assert contents.operator == "coil_fourier"
    rows = find_calibration(contents).rows
    assert len(rows) > 3
    assert {row.operator for row in rows if row.same_operator} <= {"coil_fourier"}


def test_the_data_fit_of_complex_images_is_that_of_both_parts(tmp_path: Path) -> None:
    path, draws = write_complex(tmp_path / "a.h5")
    fit = fit_of(path)
    with PosteriorFile(path) as file:
        operator, y = file.operator(), torch.as_tensor(file["observed_data/y"].variable.values)
    misfit = (operator(torch.as_tensor(draws)) - y).double().numpy()
    assert operator.row_mask is not None
    count = operator.row_mask.sum() * 2 * COILS * SLICES
    chi_square = (misfit**2).sum(axis=(1, 2, 3, 4, 5)) / NOISE**2 / float(count)
    np.testing.assert_allclose(fit.draws, chi_square, rtol=1e-5)
    np.testing.assert_allclose(fit.coils.mean(), fit.draws.mean(), rtol=1e-6)
    assert fit.gram.shape == (SLICES, 3, 3)


def test_the_page_shows_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.ones((COILS, 1, 1)))
    page = write_report(path, tmp_path / "out").page.read_text()
    assert "By coil" in page
    assert "By distance from the centre of k-space" in page
