"""Preconditioning and the training losses, against their identities."""

import pytest
import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.losses import LearnedUncertainty, denoising_loss, draw_sigma
from uqrestore.diffusion.preconditioning import Preconditioning
from uqrestore.networks import Backbone
from uqrestore.networks.measurement import Measurement

SIGMA = torch.tensor([0.01, 0.3, 1.0, 20.0], dtype=torch.float64)


class Constant(Backbone):
    """A network that answers with the same number everywhere."""

    image_shape = (1, 3, 5)

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        label: Tensor | None = None,
        measurement: Measurement | None = None,  # noqa: ARG002
        *,
        augment: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        assert label is None or label.shape == c_noise.shape
        return torch.full_like(x, self.value) * c_noise[:, None, None, None]


def test_the_scalings_minimise_what_the_network_must_add() -> None:
    """c_out^2 = (1 - c_skip)^2 sd^2 + c_skip^2 s^2 at its least; the input has variance 1."""
    sd = 0.7
    c_skip, c_out, c_in, c_noise = Preconditioning(sd).scalings(SIGMA)
    torch.testing.assert_close(c_out**2, (1 - c_skip) ** 2 * sd**2 + c_skip**2 * SIGMA**2)
    for nudge in (0.99, 1.01):
        worse = (1 - nudge * c_skip) ** 2 * sd**2 + (nudge * c_skip) ** 2 * SIGMA**2
        assert (worse > c_out**2).all()
    torch.testing.assert_close(c_in**2 * (sd**2 + SIGMA**2), torch.ones_like(SIGMA))
    torch.testing.assert_close(c_noise, SIGMA.log() / 4)


def test_a_zero_network_leaves_the_shrunken_input() -> None:
    denoiser = NetworkDenoiser(Constant(0.0), Preconditioning(0.5))
    x = torch.ones(4, 2, 1, 3, 5, dtype=torch.float64)
    clean = denoiser(x, SIGMA[:, None].expand(4, 2))
    want = 0.25 / (0.25 + SIGMA**2)
    torch.testing.assert_close(clean[:, 0, 0, 0, 0], want)


def test_one_level_serves_a_whole_batch() -> None:
    denoiser = NetworkDenoiser(Constant(2.0))
    x = torch.randn(3, 2, 1, 3, 5, generator=torch.Generator().manual_seed(0))
    each = denoiser(x, torch.full((3, 2), 0.4))
    torch.testing.assert_close(denoiser(x, torch.tensor(0.4)), each)


def test_the_weighted_loss_is_the_error_of_the_raw_network() -> None:
    g = torch.Generator().manual_seed(0)
    truth = torch.randn(4, 1, 3, 5, generator=g, dtype=torch.float64)
    x = truth + SIGMA[:, None, None, None] * torch.randn(truth.shape, generator=g).double()
    c_skip, c_out, _, _ = (t[:, None, None, None] for t in Preconditioning(0.5).scalings(SIGMA))
    raw = torch.randn(truth.shape, generator=g, dtype=torch.float64)
    loss = denoising_loss(c_skip * x + c_out * raw, truth, SIGMA, 0.5)
    target = (truth - c_skip * x) / c_out
    torch.testing.assert_close(loss, (raw - target).square().flatten(1).mean(1))


def test_levels_are_log_normal() -> None:
    log = draw_sigma(20_000, torch.Generator().manual_seed(0), mean=-0.8, std=1.6).log()
    assert float(log.mean()) == pytest.approx(-0.8, abs=0.05)
    assert float(log.std()) == pytest.approx(1.6, abs=0.05)


def test_learned_uncertainty_finds_the_log_of_the_loss() -> None:
    """At the optimum u = ln E[loss | sigma], and the value is 1 + u."""
    g = torch.Generator().manual_seed(0)
    model = LearnedUncertainty().double()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(400):
        sigma = draw_sigma(256, g).double()
        loss = model(sigma.sqrt() * torch.rand(256, generator=g).double() * 2, sigma)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    sigma = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64)
    for s in sigma:
        value = float(model(s.sqrt()[None], s[None]).detach())
        assert value == pytest.approx(1 + 0.5 * float(s.log()), abs=0.1)


def test_autocast_of_a_training_reaches_the_network() -> None:
    """A denoiser once switched it off, so that trainings in half precision ran in full."""

    class Recording(Backbone):
        image_shape = (1, 4, 4)

        def forward(self, x: Tensor, *_: object, **__: object) -> Tensor:
            self.seen = torch.is_autocast_enabled("cpu")
            return x

    network = Recording()
    denoiser, x = NetworkDenoiser(network), torch.zeros(1, 1, 4, 4)
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            denoiser(x, torch.tensor(0.5))
        assert network.seen is enabled
    denoiser.bf16 = True
    with torch.no_grad():
        denoiser(x, torch.tensor(0.5))
    assert network.seen is True
