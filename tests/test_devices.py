"""Every path on a device that is not the CPU, to the same numbers; no operand is left behind."""

import dataclasses
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import uqrestore as uq
from tests.methods.test_methods import CASES as METHOD_CASES
from tests.methods.test_methods import SHAPE, problem
from tests.networks.cases import CASES as NETWORKS
from tests.networks.cases import SHAPE as IMAGE
from tests.operators.cases import CASES, VARIANTS
from tests.other_device import DEVICE, Elsewhere, other_device
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.windowed import WindowedDenoiser
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import MaskedFourier
from uqrestore.priors import ClosedForm, GaussianMixture, LowRankGaussian
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import Problem

OPERATORS = CASES | VARIANTS
CONDITIONAL = sorted(name for name, make in NETWORKS.items() if make().conditional)


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(
        torch, "autocast", lambda *_, **__: nullcontext()
    )  # it knows no such device
    with other_device():
        yield


def same(there: Tensor, here: Tensor, **close: float) -> None:
    assert isinstance(there, Elsewhere)
    torch.testing.assert_close(there.cpu(), here, equal_nan=True, **close)  # type: ignore[arg-type]


def awake(name: str) -> NetworkDenoiser:
    """Return a network in float64, its weights away from their zero start."""
    network, g = NetworkDenoiser(NETWORKS[name]()).double(), Generator().manual_seed(0)
    for weight in network.parameters():
        weight.data += 0.02 * torch.randn(weight.shape, generator=g, dtype=weight.dtype)
    return network.eval()


def test_the_other_device_refuses_what_an_accelerator_refuses() -> None:
    x = torch.ones(2, 3, device=DEVICE)
    with pytest.raises(RuntimeError, match="operands on lazy:0"):
        torch.add(x, torch.ones(3))
    with pytest.raises(RuntimeError):
        x.numpy()
    same(x + torch.tensor(1.0), torch.full((2, 3), 2.0))


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_operators(name: str) -> None:
    operator = OPERATORS[name](Generator().manual_seed(0))
    g = Generator().manual_seed(1)
    shape = operator.problem_shape
    x = torch.randn(2, *shape, *operator.in_shape, generator=g, dtype=torch.float64)
    y = operator(x)
    there = operator.to(DEVICE)
    same(there(x.to(DEVICE)), y)
    same(there.adjoint(y.to(DEVICE)), operator.adjoint(y))
    same(there.normal(x.to(DEVICE)), operator.normal(x))
    same(there.pinv(y.to(DEVICE)), operator.pinv(y))
    known = Problem(operator, y[0], 0.1)
    same(known.to(DEVICE).chi_square(x[:1].to(DEVICE)), known.chi_square(x[:1]))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_methods(name: str) -> None:
    known, prior = problem(name), gaussian_field(SHAPE)
    noise = SampleNoise(0, range(2), slices=range(3))
    options: dict[str, Any] = METHOD_CASES[name].options
    here = METHODS[name](known, prior, noise, **options)
    noise = SampleNoise(0, range(2), slices=range(3))
    there = METHODS[name](known.to(DEVICE), prior.to(DEVICE), noise, **options)
    same(there, here)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_networks(name: str) -> None:
    network, g = awake(name), Generator().manual_seed(2)
    x = torch.randn(2, *IMAGE, generator=g, dtype=torch.float64)
    mask = torch.rand(2, *IMAGE[1:], generator=g) < 0.5
    known = Problem(MaskedFourier(mask, channels=1), MaskedFourier(mask, channels=1)(x), 0.1)
    sigma = torch.tensor([0.3, 2.0], dtype=torch.float64)
    given = known if name in CONDITIONAL else None
    here = network(x, sigma, given)
    there = network.to(DEVICE)(x.to(DEVICE), sigma.to(DEVICE), given and given.to(DEVICE))
    same(there, here)


def test_windows_of_a_network() -> None:
    network, g = awake("hdit"), Generator().manual_seed(2)
    x = torch.randn(2, 1, 19, 15, generator=g, dtype=torch.float64)
    here = WindowedDenoiser(network, (19, 15))(x, torch.tensor(0.5))
    same(WindowedDenoiser(network.to(DEVICE), (19, 15))(x.to(DEVICE), torch.tensor(0.5)), here)


def test_sample_on_a_device() -> None:
    known, prior = problem("ddnm"), gaussian_field(SHAPE)
    options: dict[str, Any] = {"method": "ddnm", "samples": 2, "seed": 0, "steps": 4}
    here = uq.sample(known.operator, known.y, prior, **options)
    there = uq.sample(
        known.operator.to(DEVICE), known.y.to(DEVICE), prior, device=str(DEVICE), **options
    )
    same(there, here)


def closed_forms() -> dict[str, ClosedForm]:
    field, g = gaussian_field(SHAPE), Generator().manual_seed(3)
    factors = torch.randn(5, *SHAPE, generator=g, dtype=torch.float64)
    shifted = dataclasses.replace(field, mean=field.mean + 0.5)
    return {
        "gaussian": field,
        "low rank": LowRankGaussian(field.mean, factors, 0.1),
        "mixture": GaussianMixture(torch.tensor([0.3, 0.7]).double(), (field, shifted)),
    }


@pytest.mark.parametrize("noise_std", [0.0, 0.1])
@pytest.mark.parametrize("name", ["gaussian", "low rank", "mixture"])
def test_closed_form_priors(name: str, noise_std: float) -> None:
    prior, known = closed_forms()[name], problem("ddnm")
    known = Problem(known.operator, known.y, noise_std)
    there, given = prior.to(DEVICE), known.to(DEVICE)
    x = torch.randn(2, 3, *SHAPE, generator=Generator().manual_seed(1), dtype=torch.float64)
    level = torch.tensor(0.5, dtype=torch.float64)
    far, near = there.posterior(given), prior.posterior(known)
    same(there(x.to(DEVICE), level), prior(x, level))
    same(far(x.to(DEVICE), level), near(x, level))
    same(far.mean, near.mean)
    same(far.std, near.std)
    same(there.log_prob(x.to(DEVICE), 0.5), prior.log_prob(x, 0.5))
    drawn = [d.draw(SampleNoise(0, range(2), slices=range(3))) for d in (far, near)]
    same(*drawn)
