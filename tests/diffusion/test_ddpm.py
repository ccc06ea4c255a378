"""Discrete DDPM networks as denoisers: stubs whose answer is known."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tests.networks.cases import awake
from uqrestore.diffusion.ddpm import DiscreteDenoiser, make_betas
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.schedules import ddpm_table
from uqrestore.methods import METHODS
from uqrestore.networks import UNet
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.problem import Problem

SHAPE = (1, 3, 5)
CLEAN = 0.3


@dataclass
class Stub:
    """The ideal network of images that are all one constant."""

    alpha_bar: Tensor
    prediction: str

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        log_snr = (self.alpha_bar / (1 - self.alpha_bar)).log()
        low = time.floor().long().clamp(max=len(log_snr) - 2)
        at = log_snr[low] + (time - low) * (log_snr[low + 1] - log_snr[low])
        alpha_bar = at.sigmoid()[:, None, None, None]
        epsilon = (x - alpha_bar.sqrt() * CLEAN) / (1 - alpha_bar).sqrt()
        if self.prediction == "epsilon":
            return epsilon
        return alpha_bar.sqrt() * epsilon - (1 - alpha_bar).sqrt() * CLEAN


def make(schedule: str = "linear", prediction: str = "epsilon") -> DiscreteDenoiser:
    betas = make_betas(schedule)  # type: ignore[arg-type]
    stub = Stub(torch.cumprod(1 - betas, 0), prediction)
    return DiscreteDenoiser(stub, SHAPE, betas, prediction=prediction)  # type: ignore[arg-type]


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "cosine"])
def test_a_network_of_one_image_denoises_to_it(schedule: str, prediction: str) -> None:
    """O-20, at the levels of the table and between them."""
    denoiser = make(schedule, prediction)
    levels = denoiser.sigmas[50:950:90]
    levels = torch.cat([levels, (levels[1:] * levels[:-1]).sqrt()])
    x = torch.randn(len(levels), *SHAPE, generator=torch.Generator().manual_seed(0)).double()
    clean = denoiser(x * levels[:, None, None, None], levels)
    torch.testing.assert_close(clean, torch.full_like(x, CLEAN), rtol=0, atol=1e-6)


def test_the_time_of_every_level_of_the_table_is_its_index() -> None:
    denoiser = make()
    torch.testing.assert_close(denoiser.sigmas, ddpm_table())
    index = torch.arange(1000, dtype=torch.float64)
    torch.testing.assert_close(denoiser.time_of(denoiser.sigmas), index, rtol=0, atol=1e-7)
    torch.testing.assert_close(denoiser.time_of(denoiser.sigmas.float()), index, rtol=0, atol=1e-3)


@pytest.mark.parametrize("sigma", [0.005, 200.0])
def test_levels_outside_the_table_are_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match=r"from 0\.01 to 157\.4"):
        make()(torch.zeros(1, *SHAPE), torch.tensor(sigma))


def test_it_serves_a_method() -> None:
    denoiser = make()
    assert isinstance(denoiser, Denoiser)
    mask = torch.zeros(SHAPE).double()
    mask[..., :2] = 1
    known = Problem(Inpainting(mask), CLEAN * mask)
    images = METHODS["ssd"](known, denoiser, SampleNoise(0, range(2)), preset="30")
    torch.testing.assert_close(images, torch.full_like(images, CLEAN), rtol=0, atol=1e-6)


def test_weights_of_monai_serve_as_they_are() -> None:
    """A network of MONAI asked at discrete times, through the backbone that wraps it."""
    sides = (1, 8, 4)
    network = UNet(sides, widths=(8, 16), attention=(False, True), head_width=8, groups=4,
                   time_scale=1.0).double()  # fmt: skip
    awake(network)
    denoiser = DiscreteDenoiser(network, sides, make_betas("linear"))
    x = torch.randn(3, *sides, generator=torch.Generator().manual_seed(0)).double()
    sigma = denoiser.sigmas[500]
    scaled = x / (1 + sigma**2).sqrt()
    epsilon = network.unet(scaled, torch.full((3,), 500.0).double())
    torch.testing.assert_close(denoiser(x, sigma), x - sigma * epsilon)


def test_a_measurement_is_refused() -> None:
    known = Problem(Inpainting(torch.ones(SHAPE)), torch.ones(SHAPE))
    with pytest.raises(ValueError, match="takes no measurement"):
        make()(torch.zeros(1, *SHAPE), torch.tensor(1.0), known)


def test_a_schedule_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        DiscreteDenoiser(lambda x, _: x, SHAPE, [0.1, 1.5])


def test_the_answer_of_diffusers_is_unwrapped() -> None:
    @dataclass
    class Output:
        sample: Tensor

    denoiser = DiscreteDenoiser(lambda x, _: Output(x * 0), SHAPE, make_betas("linear"))
    x = torch.ones(2, *SHAPE)
    assert torch.equal(denoiser(x, torch.tensor(1.0)), x)
