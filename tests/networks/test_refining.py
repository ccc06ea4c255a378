"""Networks that refine their own estimates: passes, draws and training."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.networks.cases import CASES, SHAPE, awake
from tests.training.test_training import config, slices, source
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.posterior_mean import posterior_moments
from uqrestore.methods import METHODS
from uqrestore.networks.measurement import Measurement
from uqrestore.noise import SampleNoise
from uqrestore.operators import MaskedFourier, Matrix, mix
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import Problem, simulate
from uqrestore.training.batch import Batch
from uqrestore.training.loss_config import LossConfig
from uqrestore.training.refinement import draw_passes, refined
from uqrestore.training.trainer import Trainer

BATCH = 4
SIGMA = torch.tensor(3.0, dtype=torch.float64)


def randn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def denoiser() -> NetworkDenoiser:
    return NetworkDenoiser(awake(CASES["invfussion_consistent"]().double()))


def mixed() -> Problem:
    """Return matrices and k-space in turn, so that the sorted batch has another order."""
    pixels = torch.Size(SHAPE).numel()
    parts = [
        Matrix(randn(20, pixels, seed=1), SHAPE),
        MaskedFourier(randn(*SHAPE[1:], seed=2) > 0, channels=1).to(torch.float64),
        Matrix(randn(20, pixels, seed=3), SHAPE),
        MaskedFourier(randn(*SHAPE[1:], seed=4) > 0, channels=1).to(torch.float64),
    ]
    return simulate(mix(parts), randn(BATCH, *SHAPE, seed=5), noise_std=0.1, seed=0)


def test_misfits_of_an_estimate_are_those_of_the_network_given_it_at_first() -> None:
    problem, images = mixed(), randn(BATCH, *SHAPE, seed=6)
    linear = Measurement.of(problem, (BATCH,), lambda _: 0 * images, invert=False)
    first = Measurement.of(problem, (BATCH,), lambda _: images, invert=False)
    _ = linear.misfits  # known before, and not those of the new estimate
    for found, wanted in zip(linear.about(images).misfits, first.misfits, strict=True):
        torch.testing.assert_close(found, wanted)
    assert linear.about(images).refined
    assert not linear.refined


def test_the_network_uses_its_estimate_and_knows_it_as_its_own() -> None:
    made, problem, x = denoiser(), mixed(), randn(BATCH, *SHAPE, seed=7)
    prepared = made.prepare(problem, (BATCH,))
    first = made(x, SIGMA, prepared)
    second = made(x, SIGMA, prepared.about(first))
    assert (second - first).abs().max() > 1e-3
    linear = made.network.linear_estimate
    assert linear is not None
    again = made(x, SIGMA, prepared.about(linear(problem)))
    assert (again - first).abs().max() > 1e-3, "the linear estimate is marked as that of a pass"


def test_passes_of_the_mean_are_calls_one_after_another() -> None:
    made, problem, noise = denoiser(), mixed(), SampleNoise(0, [0], slices=range(BATCH))
    pure = SampleNoise(0, [0], slices=range(BATCH)).normal(SHAPE, problem.y)[0]
    prepared = made.prepare(problem, (BATCH,))
    for _ in range(2):
        prepared = prepared.about(made(3.0 * pure, SIGMA, prepared))
    wanted = made(3.0 * pure, SIGMA, prepared)
    found = posterior_moments(made, problem, noise, sigma=3.0, passes=3).mean
    torch.testing.assert_close(found, problem.project(wanted))


def test_draws_carry_the_estimate_from_call_to_call() -> None:
    made, problem = denoiser(), mixed()

    def draws(*, carry: bool) -> Tensor:
        noise = SampleNoise(0, range(2), slices=range(BATCH))
        options = {"sampler": "euler", "sigmas": [3.0, 1.0, 0.0], "project": False}
        return METHODS["conditional"](problem, made, noise, **options, carry=carry)

    x = 3.0 * SampleNoise(0, range(2), slices=range(BATCH)).normal(SHAPE, problem.y)
    prepared = made.prepare(problem, (2, BATCH))
    clean = made(x, SIGMA, prepared)
    x = clean + (x - clean) / 3
    wanted = made(x, SIGMA / 3, prepared.about(clean))
    torch.testing.assert_close(draws(carry=True), wanted)
    assert (draws(carry=False) - wanted).abs().max() > 1e-3


def test_other_denoisers_have_nothing_to_carry() -> None:
    problem, noise = mixed(), SampleNoise(0, range(2), slices=range(BATCH))
    with pytest.raises(ValueError, match="carry is on but the denoiser is no network"):
        METHODS["conditional"](problem, gaussian_field(SHAPE), noise, steps=2, carry=True)
    plain = NetworkDenoiser(awake(CASES["invfussion_projected"]().double()))
    with pytest.raises(ValueError, match="InvFussion was not built to refine its own estimates"):
        METHODS["conditional"](problem, plain, noise, steps=2, carry=True)


def test_passes_come_in_their_shares() -> None:
    loss = LossConfig(refinements=(0.5, 0.2))
    generator = torch.Generator().manual_seed(0)
    counts = torch.tensor([draw_passes(loss, generator) for _ in range(4000)]).bincount()
    torch.testing.assert_close(counts / 4000, torch.tensor([0.3, 0.5, 0.2]), atol=0.03, rtol=0)
    with pytest.raises(ValueError, match=r"refinements are shares .* sum to 1\.2"):
        LossConfig(refinements=(0.7, 0.5))


def test_training_passes_are_those_of_the_network_without_a_graph() -> None:
    made, problem, truth = denoiser(), mixed(), randn(BATCH, *SHAPE, seed=5)
    batch = Batch(truth, torch.full((BATCH,), 3.0).double(), randn(BATCH, *SHAPE, seed=8), problem)
    loss, generator = LossConfig(refinements=(0.0, 1.0)), torch.Generator().manual_seed(0)
    found = refined(made, made.with_components, batch, loss, generator)
    prepared = made.prepare(problem, (BATCH,))
    for _ in range(2):
        prepared = prepared.about(made(batch.x_t, batch.sigma, prepared))
    assert found is not None
    x, sigma = batch.x_t, batch.sigma
    torch.testing.assert_close(made(x, sigma, found), made(x, sigma, prepared))
    assert found.measurement.estimate is not None
    assert not found.measurement.estimate.requires_grad


def test_network_and_loss_refine_both_or_neither(tmp_path: Path) -> None:
    settings = config(loss=LossConfig(refinements=(0.5,)))
    with pytest.raises(ValueError, match=r"refines is False but loss.refinements is \[0.5\]"):
        Trainer(settings, source(), slices(4), tmp_path)
