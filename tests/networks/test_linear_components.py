"""Components of a linear model: eigenvectors of its posterior covariance, refined by networks."""

import pytest
import torch
from torch import Tensor

from tests.networks.test_spectral_estimate import (
    BATCH,
    PIXELS,
    SHAPE,
    fitted,
    inpainting,
    lines,
    matrix,
    randn,
)
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.networks import InvFussion
from uqrestore.networks.linear.components import linear_components
from uqrestore.networks.linear.spectral import FLOOR
from uqrestore.operators import Inpainting, LinearOperator, Zero
from uqrestore.problem import Problem, simulate

COUNT = 3


def posterior(problem: Problem) -> Tensor:
    """The covariance after a measurement without noise, ``(problem, pixel, pixel)``, densely."""
    made, operator = fitted(), problem.operator
    eye = (
        torch.eye(PIXELS, dtype=torch.float64).reshape(PIXELS, 1, *SHAPE).expand(-1, BATCH, *SHAPE)
    )
    covariance = made.covariance(eye).flatten(2)[:, 0]
    seen = operator.pinv(operator.forward(eye)).flatten(2).movedim(0, 2)
    open_ = torch.eye(PIXELS, dtype=torch.float64) - seen
    system = torch.linalg.pinv(seen @ covariance @ seen + FLOOR * seen, rtol=1e-9, hermitian=True)
    return open_ @ (covariance - covariance @ system @ covariance) @ open_


@pytest.mark.parametrize("make", [inpainting, matrix, lines])
def test_enough_rounds_give_the_widest_eigenvectors(make: object) -> None:
    operator = make()  # type: ignore[operator]
    problem = simulate(operator, randn(BATCH, *SHAPE, seed=5))
    covariance = posterior(problem)
    rows = linear_components(fitted(), problem, COUNT, rounds=9).flatten(2)
    std = rows.norm(dim=-1, keepdim=True)
    wanted = torch.linalg.eigvalsh(covariance).flip(-1)[:, :COUNT, None]
    torch.testing.assert_close(std.square(), wanted, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(rows @ covariance, wanted * rows, rtol=0.0, atol=2e-4)


def test_every_round_holds_more_variance() -> None:
    problem = simulate(matrix(), randn(BATCH, *SHAPE, seed=5))
    covariance = posterior(problem)
    best = torch.linalg.eigvalsh(covariance)[:, -COUNT:].sum(-1)
    held = []
    for rounds in (1, 2, 3):
        rows = linear_components(fitted(), problem, COUNT, rounds).flatten(2)
        std = rows.norm(dim=-1)
        assert (std[:, :-1] >= std[:, 1:]).all(), "widest first"
        unit = rows / std[..., None]
        inside = (unit @ covariance * unit).sum(-1)
        torch.testing.assert_close(inside, std.square(), rtol=1e-6, atol=0.0)
        held.append(float((inside.sum(-1) / best).mean()))
    assert held[0] < held[1] < held[2] <= 1 + 1e-9
    assert held[2] > 0.95


def test_they_end_where_the_measurement_ends() -> None:
    full = Inpainting(torch.ones(BATCH, *SHAPE, dtype=torch.float64))
    one = torch.ones(BATCH, *SHAPE, dtype=torch.float64)
    one[:, :, 2, 3] = 0
    for operator, lengths in ((full, 0), (Inpainting(one), 1)):
        problem = simulate(operator, randn(BATCH, *SHAPE, seed=6))
        std = linear_components(fitted(), problem, COUNT, 2).flatten(2).norm(dim=-1)
        assert ((std > 1e-6).sum(-1) == lengths).all()
    zero = Zero(SHAPE)
    problem = Problem(zero, torch.zeros(zero.out_shape, dtype=torch.float64))
    std = linear_components(fitted(), problem, COUNT, 8).flatten(1).norm(dim=-1)
    eye = torch.eye(PIXELS, dtype=torch.float64).reshape(PIXELS, *SHAPE)
    wanted = torch.linalg.eigvalsh(fitted().covariance(eye).flatten(1)).flip(0)[:COUNT]
    torch.testing.assert_close(std.square(), wanted, rtol=1e-4, atol=1e-6)


def test_noise_leaves_the_measured_directions_some_width() -> None:
    operator = Inpainting(torch.ones(BATCH, *SHAPE, dtype=torch.float64))
    y = operator.forward(randn(BATCH, *SHAPE, seed=6))
    noise_free, noisier = (
        linear_components(fitted(), Problem(operator, y, s), 3, 2) for s in (0.1, 0.5)
    )
    assert 0 < float(noise_free.square().sum()) < float(noisier.square().sum())


def network(rounds: int = 2) -> NetworkDenoiser:
    made = InvFussion(
        SHAPE,
        patch=2,
        widths=(16,),
        depths=(1,),
        attention=("global",),
        joint=(True,),
        fdl_input="projected",
        guess=60,
        components=COUNT,
        component_rounds=rounds,
        head_width=8,
        cond_width=16,
    ).double()
    assert made.linear_guess is not None
    made.linear_guess.load_state_dict(fitted().state_dict())
    return NetworkDenoiser(made)


@pytest.mark.parametrize("make", [inpainting, matrix, lines])
def test_an_untrained_network_returns_the_components_of_the_model(make: object) -> None:
    operator: LinearOperator = make()  # type: ignore[operator]
    problem = simulate(operator, randn(BATCH, *SHAPE, seed=5))
    wanted = linear_components(fitted(), problem, COUNT, 2)
    draws = randn(2, BATCH, *SHAPE, seed=7)
    sigma = torch.tensor(50.0, dtype=torch.float64)
    found = network().with_components(draws, sigma, problem)[1]
    torch.testing.assert_close(found, wanted.expand(2, *wanted.shape))
    none = network().with_components(draws, sigma)[1]
    assert torch.equal(none, torch.zeros_like(found))


def test_components_of_the_model_need_a_model() -> None:
    with pytest.raises(ValueError, match="component_rounds is 2 but guess is 0"):
        InvFussion(SHAPE, patch=2, widths=(16,), depths=(1,), attention=("global",), joint=(True,),
                   components=2, component_rounds=2)  # fmt: skip
