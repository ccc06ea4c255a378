"""The estimate under widest directions and a spectrum is the linear MMSE estimate of its model."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.networks.test_spectral_estimate import (
    BATCH,
    PIXELS,
    SHAPE,
    inpainting,
    lines,
    matrix,
    randn,
)
from uqrestore.networks import InvFussion
from uqrestore.networks.linear.components import linear_components
from uqrestore.networks.linear.gaussian import FLOOR, strength
from uqrestore.networks.linear.low_rank import LowRankEstimator
from uqrestore.networks.linear.spectral import SpectralEstimator
from uqrestore.operators import LinearOperator, Zero, mix
from uqrestore.problem import Problem

RANK = 4


def images(count: int = 400) -> Tensor:
    """A few patterns, and smooth images that vary by place: no spectrum describes them."""
    patterns = 3 * randn(RANK, PIXELS, seed=11)
    smooth = torch.fft.irfft2(torch.fft.rfft2(randn(count, *SHAPE, seed=1)) * 0.5, s=SHAPE[1:])
    smooth = smooth.cumsum(-1) * 0.2
    return (randn(count, RANK, seed=12) @ patterns).reshape(-1, *SHAPE) + smooth + 1


def fitted(iterations: int = 200, rank: int = RANK) -> LowRankEstimator:
    made = LowRankEstimator(SHAPE, iterations, rank).double()
    made.fit(images())
    return made


MAKE = {"inpainting": inpainting, "matrix": matrix, "lines": lines}


def eye() -> Tensor:
    return torch.eye(PIXELS, dtype=torch.float64).reshape(PIXELS, *SHAPE)


def dense(operator: LinearOperator) -> Tensor:
    """Matrices ``(problem, measurement, pixel)``."""
    columns = operator.forward(eye()[:, None].expand(PIXELS, BATCH, *SHAPE))
    return columns.flatten(2).movedim(0, 2)


def test_its_model_is_that_of_the_images() -> None:
    made, seen = fitted(), images().flatten(1)
    covariance = made.covariance(eye()).flatten(1)
    torch.testing.assert_close(covariance, covariance.mT)
    torch.testing.assert_close(made.mean.flatten(), seen.mean(0))
    wanted = torch.linalg.eigh(torch.cov(seen.mT, correction=0))
    found = made.basis.square().sum(1)
    torch.testing.assert_close(found, wanted.eigenvalues.flip(0)[:RANK], rtol=1e-6, atol=0.0)
    total = float(wanted.eigenvalues.sum())
    assert float(covariance.trace()) == pytest.approx(total, rel=0.02)


@pytest.mark.parametrize("std", [0.0, 0.3])
@pytest.mark.parametrize("kind", sorted(MAKE))
def test_it_is_the_linear_estimate_and_leaves_its_covariance(kind: str, std: float) -> None:
    made, operator = fitted(), MAKE[kind]()
    y = operator.forward(randn(BATCH, *SHAPE, seed=5))
    problem = Problem(operator, y, std)
    covariance, a = made.covariance(eye()).flatten(1), dense(operator)
    noise = torch.eye(a.shape[1], dtype=a.dtype).expand(BATCH, -1, -1)
    noise = (std**2 + FLOOR * strength(operator, made.mean))[:, None, None] * noise
    if not std:
        noise = FLOOR * a @ a.mT  # white in the image
    system = a @ covariance @ a.mT + noise
    gain = covariance @ a.mT @ torch.linalg.pinv(system, rtol=1e-10, hermitian=True)
    mean = made.mean.flatten()
    wanted = mean + (gain @ (y.flatten(1) - a @ mean)[..., None])[..., 0]
    torch.testing.assert_close(made(problem).flatten(1), wanted, rtol=1e-5, atol=1e-6)

    left = covariance - gain @ a @ covariance
    open_ = problem.project_null(eye()[:, None].expand(PIXELS, BATCH, *SHAPE))
    open_ = open_.flatten(2).movedim(0, 1)
    answer = made.posterior_covariance(problem, eye()[:, None].expand(PIXELS, BATCH, *SHAPE))
    torch.testing.assert_close(
        answer.flatten(2).movedim(0, 1), open_ @ left @ open_, rtol=1e-4, atol=1e-5
    )


def test_few_steps_are_near_where_the_forerunner_is_not() -> None:
    operator, truth = lines(), images()[:BATCH]
    problem = Problem(operator, operator.forward(truth))
    before = SpectralEstimator(SHAPE, 6).double()
    before.fit(images())
    errors = [float((made(problem) - truth).square().mean()) for made in (fitted(6), before)]
    assert errors[0] < 0.5 * errors[1]


def test_nothing_measured_gives_the_mean_and_the_widest_directions() -> None:
    made, zero = fitted(), Zero(SHAPE)
    problem = Problem(zero, torch.zeros(zero.out_shape, dtype=torch.float64))
    assert torch.equal(made(problem), made.mean)
    rows = linear_components(made, problem, 3, 3).flatten(1)
    wanted = torch.linalg.eigvalsh(made.covariance(eye()).flatten(1)).flip(0)[:3]
    torch.testing.assert_close(rows.square().sum(1), wanted, rtol=1e-6, atol=0.0)


def test_a_mixed_batch_is_its_problems_one_by_one() -> None:
    made = fitted(5)
    parts = [inpainting()[0], matrix()[1], lines()[2], Zero(SHAPE)]
    truth = randn(4, *SHAPE, seed=6)
    operator = mix(parts)
    together = made(Problem(operator, operator.forward(truth), 0.1))
    for i, part in enumerate(parts):
        alone = made(Problem(part, part.forward(truth[i]), 0.1))
        torch.testing.assert_close(together[i], alone)


def test_its_steps_stay_out_of_autocast() -> None:
    made, operator = fitted(8).float(), matrix().to(torch.float32)
    problem = Problem(operator, operator.forward(randn(BATCH, *SHAPE, seed=5).float()))
    plain = made(problem)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(made(problem), plain)


def test_more_directions_than_there_can_be_are_refused() -> None:
    with pytest.raises(ValueError, match="guess_rank is 60 but images have 60 pixels"):
        LowRankEstimator(SHAPE, 3, PIXELS)
    with pytest.raises(ValueError, match="guess_rank is -1"):
        LowRankEstimator(SHAPE, 3, -1)
    with pytest.raises(ValueError, match="10 images do not determine 4 directions"):
        LowRankEstimator(SHAPE, 3, RANK).double().fit(images(10))


def test_a_network_may_be_given_it() -> None:
    made = InvFussion(
        SHAPE, patch=2, widths=(16,), depths=(1,), attention=("global",), joint=(True,),
        fdl_input="projected", guess=4, guess_rank=RANK, head_width=8, cond_width=16,
    )  # fmt: skip
    assert isinstance(made.linear_guess, LowRankEstimator)
    assert made.state_dict()["linear_guess.basis"].shape == (RANK, PIXELS)


@pytest.mark.parametrize("fields", [{"guess_rank": RANK}, {"pass_guess": True}])
def test_what_needs_an_estimate_is_refused_without(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="guess is 0 but"):
        InvFussion(SHAPE, patch=2, widths=(16,), depths=(1,), attention=("global",), joint=(True,),
                   **fields)  # fmt: skip
