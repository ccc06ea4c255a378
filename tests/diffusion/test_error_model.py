"""Error models: their square roots, their fit where the covariance is known, their tables."""

from dataclasses import replace

import pytest
import torch

from uqrestore.diffusion._spectra import image_of, radial_frequency, spectrum_of
from uqrestore.diffusion.error_model import (
    ErrorCovariance,
    ErrorModel,
    error_model,
    fit_error_model,
    local_variance,
    mix_channels,
)
from uqrestore.diffusion.windowed import WindowedDenoiser
from uqrestore.diffusion.wrapped import Counting
from uqrestore.noise import SampleNoise
from uqrestore.priors.gaussian import gaussian_field


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize(("rows", "columns"), [(7, 6), (5, 9), (8, 4), (5, 2), (3, 1)])
def test_the_two_square_roots_are_adjoint(rows: int, columns: int, channels: int) -> None:
    g = torch.Generator().manual_seed(0)
    std = 0.1 + torch.rand(3, 1, rows, columns, generator=g, dtype=torch.float64)
    amplitude = 1 / (0.1 + radial_frequency(rows, columns, half=channels != 2))
    mixing = torch.eye(channels, dtype=torch.float64)
    mixing[-1, 0] = 0.4
    c = ErrorCovariance(std, amplitude, mixing)
    white, image = (torch.randn(3, channels, rows, columns, generator=g).double() for _ in "ab")
    torch.testing.assert_close(image_of(spectrum_of(white), channels, columns), white)
    back = image_of(c.root_transposed(image), channels, columns)
    torch.testing.assert_close((c.root(spectrum_of(white)) * image).sum(), (white * back).sum())


def test_of_a_stationary_field_the_fit_is_the_covariance_of_its_denoiser() -> None:
    """The exact error has the power ``sigma^2 p / (sigma^2 + p)``, and no pixel stands out."""
    shape, sigma = (1, 16, 15), 0.3
    field = gaussian_field(shape)
    images = field.draw(SampleNoise(0, range(400)))
    generator = torch.Generator().manual_seed(1)
    model = fit_error_model(field, images, [0.1, sigma, 1.0], generator, batch_size=400)
    power = torch.fft.rfft2(field.draw(SampleNoise(1, range(400))) - field.mean, norm="ortho")
    power = power.abs().square().mean((0, 1))
    exact = sigma**2 * power / (sigma**2 + power)
    found = model.at(sigma, images[:1])
    assert float(found.std.std() / found.std.mean()) < 0.1
    product = found.amplitude.square() * found.std.square().mean()
    assert float(((product - exact).abs() / exact).mean()) < 0.12
    total = float(product.mean() / exact.mean())
    assert total == pytest.approx(1, abs=0.05)


def test_channels_with_correlated_errors_are_distinguished_from_others() -> None:
    shape = (3, 6, 7)
    field = gaussian_field(shape, correlation=0.8)
    images = field.draw(SampleNoise(0, range(300)))
    model = fit_error_model(field, images, [1.0, 3.0], torch.Generator().manual_seed(1))
    correlation = model.mixing[1] @ model.mixing[1].mT
    assert correlation.diagonal().tolist() == pytest.approx([1, 1, 1], abs=1e-3)
    assert float(correlation[0, 1]) == pytest.approx(0.8, abs=0.08)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(mix_channels(torch.eye(3).double(), x), x)


def test_tissue_is_known_worse_than_air() -> None:
    """The variance of a pixel follows the local variance of the estimate."""

    class Half:
        in_shape = (1, 20, 20)

        def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            del sigma
            return torch.where(x.abs() > 0.5, x, 0)

    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(30, 1, 20, 20)
    images[..., :10] = 3 * torch.randn(30, 1, 20, 10, generator=generator)
    model = fit_error_model(Half(), images, [0.05, 0.1], generator)  # type: ignore[arg-type]
    std = model.at(0.1, images[:1]).std[0, 0]
    assert float(std[:, 12:].mean()) < 0.2 * float(std[:, :8].mean())
    assert float(std[:, :8].mean()) == pytest.approx(0.14, abs=0.05)


def test_the_local_variance_is_that_of_the_pixels_around_also_in_small_images() -> None:
    x = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(0)).double()
    expected = x[1, :, 1:6, 0:5].flatten(1).var(1, correction=0).sum()
    torch.testing.assert_close(local_variance(x)[1, 3, 2].exp(), expected)
    assert local_variance(x[..., :1, :]).shape == (2, 1, 6)
    assert torch.isfinite(local_variance(x[..., :1, :1])).all()


def test_a_model_is_kept_in_a_card_to_four_digits() -> None:
    model = error_model(gaussian_field((1, 7, 6)))
    assert model is not None
    model = replace(model, gain=model.gain * 1.5)
    again = ErrorModel.from_data(model.to_data())
    estimate = torch.randn(2, 1, 9, 8)
    for sigma in (1e-4, 0.07, 200.0):
        one, two = model.at(sigma, estimate), again.at(sigma, estimate)
        torch.testing.assert_close(one.std, two.std, rtol=2e-3, atol=0)
        torch.testing.assert_close(one.amplitude, two.amplitude, rtol=2e-3, atol=0)
        plain = replace(model, gain=torch.ones_like(model.gain)).at(sigma, estimate)
        torch.testing.assert_close(one.std, 1.5 * plain.std)


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("sigmas", None, "sigmas must be 1-dimensional"),
        ("sigmas", [0.1, 0.05], "sigmas must be at least two numbers that ascend"),
        ("variance", [[1.0, -1.0], [1.0, 1.0]], "variance must be above 0"),
        ("power", [[float("nan")], [1.0]], "power must be 2-dimensional"),
        ("local", [[1.0, 0.0], [0.0, 1.0]], "every row of local must ascend"),
        ("gain", [1.0], "one row for each noise level"),
    ],
)
def test_damaged_tables_are_refused(field: str, value: object, wanted: str) -> None:
    data = {
        "sigmas": [0.1, 1.0],
        "local": [[0.0, 1.0], [0.0, 1.0]],
        "variance": [[1.0, 1.0], [1.0, 1.0]],
        "power": [[1.0, 1.0], [1.0, 1.0]],
        "mixing": [[[1.0]], [[1.0]]],
        "gain": [1.0, 1.0],
    }
    ErrorModel.from_data(data)
    changed = {key: v for key, v in (data | {field: value}).items() if v is not None}
    with pytest.raises(ValueError, match=wanted):
        ErrorModel.from_data(changed)


def test_wrappers_pass_a_model_on_and_a_plain_function_has_none() -> None:
    class Plain:
        in_shape = (1, 4, 4)

        def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return x / (1 + sigma)

    plain = Plain()
    assert error_model(WindowedDenoiser(Counting(plain), (6, 5))) is None  # type: ignore[arg-type]
    model = error_model(gaussian_field((1, 4, 4)))
    plain.errors = model  # type: ignore[attr-defined]
    assert error_model(WindowedDenoiser(Counting(plain), (6, 5))) is model  # type: ignore[arg-type]
