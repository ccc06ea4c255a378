"""The last step of a network: the posterior mean under the covariance that it describes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.networks.cases import CASES, awake
from tests.networks.test_data_consistency import BATCH, SHAPE, coils, dense, randn
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.preconditioning import Preconditioning
from uqrestore.networks import HDiT
from uqrestore.networks.final_step import BANDS, FinalStep, radial_bands, solve
from uqrestore.networks.measurement import Measurement, spectral_bound
from uqrestore.networks.weights import save_tensors
from uqrestore.operators import Matrix, Zero
from uqrestore.problem import Problem, simulate
from uqrestore.training.warm_start import start_from

SIGMA, STD, DATA = 0.4, 0.2, 0.5


def inputs(count: int) -> tuple[Tensor, ...]:
    """Return output, pixel map, input, noise level and condition."""
    level = torch.full((count,), SIGMA, dtype=torch.float64).log() / 4
    out, x = randn(count, *SHAPE, seed=3), randn(count, *SHAPE, seed=2)
    return out, randn(count, 1, *SHAPE[1:], seed=4), x, level, randn(count, 8, seed=5)


def step(steps: int) -> FinalStep:
    made = FinalStep(8, steps, DATA).double()
    made.power.weight.data = 0.3 * randn(BANDS, 8, seed=6)
    return made


def measured(problem: Problem, estimate: Tensor) -> Measurement:
    return Measurement.of(problem, (len(estimate),), lambda _: estimate, invert=False)


def test_it_is_the_posterior_mean_under_its_covariance() -> None:
    operator, made, given = coils(1)[:1], step(200), inputs(1)
    truth, estimate = randn(1, *SHAPE), randn(1, *SHAPE, seed=1)
    problem = simulate(operator, truth, noise_std=STD, seed=0)
    found = made(*given, measured(problem, estimate))
    out, log_std, x, _, cond = given
    level = torch.tensor([SIGMA], dtype=torch.float64)
    skip, c_out, c_in, _ = Preconditioning(DATA).scalings(level)
    before, after = (skip / c_in * x + c_out * f for f in (out, found))
    pixels = torch.eye(120, dtype=torch.float64).reshape(-1, *SHAPE)
    power = torch.tensordot(
        made.power(cond)[0] / 2, radial_bands(*SHAPE[1:]).double(), dims=1
    ).exp()
    smooth = torch.fft.irfft2(power * torch.fft.rfft2(pixels), s=SHAPE[1:])
    root = (log_std[0].exp() * smooth).flatten(1).mT
    covariance = c_out.square() * root @ root.mT
    bound = spectral_bound(operator)
    noise = STD**2 / bound + 1e-6
    normal = dense(operator)[0]
    pulled = (operator.adjoint(problem.y - operator(before)) / bound).flatten()
    inverse = torch.linalg.inv(noise * torch.eye(120) + covariance @ normal)
    wanted = inverse @ covariance @ pulled
    torch.testing.assert_close((after - before).flatten(), wanted, rtol=1e-4, atol=1e-5)


def test_images_do_not_depend_on_their_batch_and_blank_ones_stay() -> None:
    operator, made, given = coils(), step(5), inputs(BATCH)
    problem = simulate(operator, randn(BATCH, *SHAPE), noise_std=STD, seed=0)
    estimate = randn(BATCH, *SHAPE, seed=1)
    measurement = measured(problem, estimate)
    order = torch.arange(BATCH) if measurement.order is None else measurement.order
    together = made(*(t[order] for t in given), measurement)
    for at in range(BATCH):
        one = slice(at, at + 1)
        alone = made(*(t[one] for t in given), measured(problem.select(one), estimate[one]))
        torch.testing.assert_close(alone[0], together[int((order == at).nonzero())])
    zero = Zero(SHAPE)
    nothing = Problem(zero, torch.zeros(BATCH, *zero.out_shape, dtype=torch.float64))
    blank = Measurement.of(nothing, (BATCH,), lambda _: estimate, invert=False)
    assert torch.equal(made(*given, blank), given[0])


@pytest.mark.parametrize("steps", [3, 40])
def test_the_derivative_is_that_of_the_steps(steps: int) -> None:
    """Of few, and of more than it takes, where it is also that of the exact inverse."""
    half = torch.linalg.qr(randn(12, 12))[0] * torch.linspace(0.1, 1, 12).sqrt()
    b, strength = randn(2, 1, 3, 4).requires_grad_(), torch.tensor([0.3, 0.8]).double()
    weight = (1 + 0.1 * randn(12, seed=9)).requires_grad_()

    def matrix(weight: Tensor) -> Tensor:
        return weight[:, None] * half @ half.mT * weight

    def run(b: Tensor, strength: Tensor, weight: Tensor) -> Tensor:
        return solve(lambda z: (z.flatten(1) @ matrix(weight)).reshape(z.shape), b, strength, steps)

    arguments = (b, strength.requires_grad_(), weight)
    assert torch.autograd.gradcheck(run, arguments, atol=1e-3, rtol=1e-3, fast_mode=True)
    if steps > 12:
        systems = matrix(weight) + strength[:, None, None] * torch.eye(12)
        exact = torch.linalg.solve(systems, b.flatten(1)).reshape(b.shape)
        torch.testing.assert_close(run(*arguments), exact, rtol=1e-4, atol=1e-4)
        grads = (torch.autograd.grad(f.square().sum(), weight)[0] for f in (run(*arguments), exact))
        torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-3)


def test_the_pixel_map_learns_from_the_error_of_the_image() -> None:
    network = awake(CASES["invfussion_consistent"]().double())
    shape = (1, 12, 8)
    problem = simulate(
        Matrix(randn(20, 96, seed=1), shape), randn(BATCH, *shape), noise_std=0.1, seed=0
    )
    clean = NetworkDenoiser(network)(randn(BATCH, *shape), torch.tensor(1.0).double(), problem)
    clean.square().sum().backward()
    grads = {name: p.grad for name, p in network.named_parameters()}
    rows = grads["trunk.patch_out.weight"]
    power = grads["final.power.weight"]
    assert rows is not None
    assert power is not None
    assert (rows.unflatten(0, (4, 2))[:, 1].abs().amax(0) > 0).all()
    assert (power.abs().amax(1) > 0).all()


def test_a_prior_hands_over_its_outputs_and_the_pixel_map_starts_even(tmp_path: Path) -> None:
    prior = HDiT(
        (1, 12, 8), patch=2, widths=(16, 24), depths=(2, 1), head_width=8, labels=3, cond_width=16,
        attention=("neighborhood:3", "neighborhood:3"),
    )  # fmt: skip
    save_tensors(tmp_path / "prior.safetensors", NetworkDenoiser(awake(prior)).state_dict())
    made = NetworkDenoiser(CASES["invfussion_consistent"]())
    start_from(made, tmp_path / "prior.safetensors")
    rows = made.state_dict()["network.trunk.patch_out.weight"].unflatten(0, (4, 2))
    assert torch.equal(rows[:, 0], prior.trunk.patch_out.weight)
    assert (rows[:, 1] == 0).all()
