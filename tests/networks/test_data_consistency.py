"""The consistent layer: its polynomial against dense inverses, and its invariances."""

import pytest
import torch
from torch import Tensor

from tests.networks.cases import awake
from uqrestore.networks.attention import AttentionSpec
from uqrestore.networks.data_consistency import ConsistentLayer, solve_regularised
from uqrestore.networks.hdit import Level, TransformerLayer
from uqrestore.networks.measurement import Measurement, spectral_bound
from uqrestore.operators import (
    CoilFourier,
    Downsampling,
    LinearOperator,
    MaskedFourier,
    Matrix,
    Zero,
    stack_operators,
)
from uqrestore.operators.random.coils import CoilKSpace
from uqrestore.problem import Problem, simulate

SHAPE, BATCH, WIDTH = (2, 6, 10), 3, 16


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def coils(count: int = BATCH) -> LinearOperator:
    family = CoilKSpace(SHAPE, coils=(1, 3), accelerations=(1.2, 3))
    return family.draw(torch.Generator().manual_seed(4), count).to(torch.float64)


def dense(operator: LinearOperator) -> Tensor:
    """Return ``A^T A`` of each problem, over the bound of its eigenvalues."""
    pixels = torch.eye(torch.Size(SHAPE).numel(), dtype=torch.float64).reshape(-1, 1, *SHAPE)
    columns = operator.normal(pixels.expand(-1, *operator.problem_shape, *SHAPE)).flatten(2)
    return columns.movedim(0, -1) / spectral_bound(operator)[:, None, None]


def layer(steps: int) -> ConsistentLayer:
    level, width = Level(WIDTH, 1, AttentionSpec("neighborhood", 3, box=5), 2), 8
    made = ConsistentLayer(level, TransformerLayer(level, 0, width, 8, 0.0), 2, width, steps)
    return awake(made.double())  # type: ignore[return-value, arg-type]


def measured(problem: Problem, estimate: Tensor) -> Measurement:
    return Measurement.of(problem, (BATCH,), lambda _: estimate, invert=False)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_inverse_has_the_error_of_chebyshev_polynomials(steps: int) -> None:
    matrix = dense(coils(1))[0]
    strength = torch.tensor([0.05, 0.4], dtype=torch.float64)
    b = randn(2, *SHAPE)
    found = solve_regularised(
        lambda z: (z.flatten(1) @ matrix).reshape(z.shape), b, strength, steps
    ).flatten(1)
    for x, one, v in zip(found, b.flatten(1), strength, strict=True):
        system = matrix + v * torch.eye(len(matrix))
        residual = one - system @ x
        # 1 / T_(steps + 1) of the ratio of the middle to half the width of the spectrum.
        middle = torch.arccosh(1 + 2 * v)
        assert residual.norm() <= one.norm() / torch.cosh((steps + 1) * middle) * (1 + 1e-9)


def test_the_inverse_is_differentiable() -> None:
    half = torch.linalg.qr(randn(12, 12))[0] * torch.linspace(0, 1, 12).sqrt()
    matrix = half @ half.mT

    def run(b: Tensor, strength: Tensor) -> Tensor:
        apply = lambda z: (z.flatten(1) @ matrix).reshape(z.shape)  # noqa: E731
        return solve_regularised(apply, b, strength, 30)

    strength = torch.tensor([0.3, 0.8], dtype=torch.float64, requires_grad=True)
    b = randn(2, 1, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(run, (b, strength), atol=1e-6, fast_mode=True)


def test_corrections_minimise_misfit_plus_distance() -> None:
    operator, made = coils(), layer(40)
    truth, estimate, chosen = (
        randn(BATCH, *SHAPE),
        randn(BATCH, *SHAPE, seed=1),
        randn(BATCH, *SHAPE, seed=2),
    )
    problem = simulate(operator, truth)
    strength = torch.tensor([0.1, 0.3, 1.0], dtype=torch.float64)
    measurement = measured(problem, estimate)
    order = torch.arange(BATCH) if measurement.order is None else measurement.order
    corrections, gradients = made.through(chosen[order], strength[order], measurement)
    for at, normal in enumerate(dense(operator)):
        place = int((order == at).nonzero())
        gradient = normal @ (truth - estimate - chosen)[at].flatten()
        torch.testing.assert_close(gradients[place].flatten(), gradient)
        step = torch.linalg.solve(normal + strength[at] * torch.eye(len(normal)), gradient)
        torch.testing.assert_close(corrections[place].flatten(), chosen[at].flatten() + step)


def test_images_are_the_same_whatever_else_is_in_the_batch() -> None:
    operator, made = coils(), layer(2)
    truth, estimate = randn(BATCH, *SHAPE), randn(BATCH, *SHAPE, seed=1)
    problem = simulate(operator, truth)
    measurement = measured(problem, estimate)
    x, cond = randn(BATCH, 3, 5, WIDTH), randn(BATCH, 8)
    order = torch.arange(BATCH) if measurement.order is None else measurement.order
    together = made(x[order], cond[order], measurement)
    for at in range(BATCH):
        one = problem.select(slice(at, at + 1))
        alone = Measurement.of(one, (1,), lambda _, at=at: estimate[at : at + 1], invert=False)
        found = made(x[at : at + 1], cond[at : at + 1], alone)[0]
        torch.testing.assert_close(found, together[int((order == at).nonzero())])


def test_units_of_the_measurement_do_not_matter() -> None:
    family = CoilKSpace(SHAPE, coils=(3,), accelerations=(2, 2), points=1.0)
    operator = family.draw(torch.Generator().manual_seed(0), BATCH).to(torch.float64)
    assert isinstance(operator, CoilFourier)
    louder = CoilFourier(operator.mask, 5 * operator.maps)
    truth, made = randn(BATCH, *SHAPE), layer(2)
    x, cond, estimate = randn(BATCH, 3, 5, WIDTH), randn(BATCH, 8), torch.zeros(BATCH, *SHAPE)
    one, other = (
        measured(Problem(op, op(truth), s), estimate) for op, s in ((operator, 0.1), (louder, 0.5))
    )
    torch.testing.assert_close(made(x, cond, one), made(x, cond, other))
    torch.testing.assert_close(one.noise_std, other.noise_std)
    torch.testing.assert_close(one.pinv_y, other.pinv_y)


def test_nothing_is_injected_without_a_measurement() -> None:
    made, zero = layer(2), Zero(SHAPE)
    x, cond = randn(BATCH, 3, 5, WIDTH), randn(BATCH, 8)
    problem = Problem(zero, torch.zeros(zero.out_shape, dtype=torch.float64))
    measurement = measured(problem, torch.zeros(SHAPE, dtype=torch.float64))
    assert torch.equal(made(x, cond, measurement), made(x, cond, None))


@pytest.mark.parametrize(
    "operator",
    [
        coils(),
        MaskedFourier(randn(BATCH, 6, 10) > 0, channels=2),
        Matrix(randn(BATCH, 5, 120) / 10, SHAPE),
        stack_operators([Downsampling(SHAPE, 2)]),
    ],
    ids=lambda operator: operator.name,
)
def test_bounds_of_eigenvalues_are_bounds_and_not_loose(operator: LinearOperator) -> None:
    largest = torch.linalg.eigvalsh(dense(operator.to(torch.float64)))[:, -1]
    assert (largest <= 1 + 1e-9).all()
    assert (largest > 0.4).all()
