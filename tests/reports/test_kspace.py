"""Data fit of multi-coil k-space: the faulty coil and the faulty ring are seen."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from uqrestore.operators import CoilFourier
from uqrestore.posterior import PosteriorWriter
from uqrestore.posterior.example import example_plan
from uqrestore.reports.data_fit import RINGS, DataFit, measure_data_fit
from uqrestore.reports.page import write_report
from uqrestore.reports.read import read_contents

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


def test_the_page_shows_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.ones((COILS, 1, 1)))
    page = write_report(path, tmp_path / "out").page.read_text()
    assert "By coil" in page
    assert "By distance from the centre of k-space" in page
