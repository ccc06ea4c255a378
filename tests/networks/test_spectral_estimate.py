"""The linear estimate is the linear MMSE estimate of the model it was given."""

import pytest
import torch
from torch import Tensor

from uqrestore.networks.linear.spectral import FLOOR, SpectralEstimator
from uqrestore.operators import Inpainting, LinearOperator, MaskedFourier, Matrix, Zero
from uqrestore.operators.random.mixture import RandomMatrix
from uqrestore.problem import Problem, simulate

SHAPE, PIXELS, BATCH = (1, 6, 10), 60, 3


def randn(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def fitted(iterations: int = 60) -> SpectralEstimator:
    made = SpectralEstimator(SHAPE, iterations).double()
    smooth = torch.fft.irfft2(torch.fft.rfft2(randn(50, *SHAPE, seed=1)) * 0.5, s=SHAPE[1:])
    made.fit(smooth.cumsum(-1) * 0.2 + randn(*SHAPE, seed=2))
    return made


def inpainting() -> LinearOperator:
    return Inpainting((randn(BATCH, *SHAPE, seed=3) > 0).double())


def matrix() -> LinearOperator:
    drawn = RandomMatrix(SHAPE, (4, 9)).draw(torch.Generator().manual_seed(4), BATCH)
    assert isinstance(drawn, Matrix)
    return Matrix(drawn.matrix.double(), SHAPE)


def lines() -> LinearOperator:
    return MaskedFourier(randn(BATCH, *SHAPE[1:], seed=9) > 0, channels=1)


@pytest.mark.parametrize("make", [inpainting, matrix])
def test_it_solves_the_normal_equations_of_its_model(make: object) -> None:
    made, operator = fitted(), make()  # type: ignore[operator]
    problem = simulate(operator, randn(BATCH, *SHAPE, seed=5))
    eye = torch.eye(PIXELS, dtype=torch.float64).reshape(PIXELS, 1, *SHAPE)
    covariance = made.covariance(eye.reshape(PIXELS, *SHAPE)).reshape(PIXELS, PIXELS)
    torch.testing.assert_close(covariance, covariance.mT)
    dense = operator.pinv(operator.forward(eye.expand(PIXELS, BATCH, *SHAPE)))
    found = made(problem)
    for i in range(BATCH):
        project = dense[:, i].reshape(PIXELS, PIXELS).mT
        seen = operator.pinv(problem.y)[i].flatten() - project @ made.mean.flatten()
        system = project @ covariance @ project + FLOOR * project
        wanted = made.mean.flatten() + covariance @ torch.linalg.pinv(system, rtol=1e-9) @ seen
        torch.testing.assert_close(found[i].flatten(), wanted, rtol=1e-5, atol=1e-6)


def test_nothing_measured_gives_the_mean_exactly() -> None:
    made, zero = fitted(), Zero(SHAPE)
    found = made(Problem(zero, torch.zeros(zero.out_shape, dtype=torch.float64)))
    assert torch.equal(found, made.mean)


def test_noise_shrinks_the_estimate_towards_the_mean() -> None:
    made, operator = fitted(), inpainting()
    y = operator.forward(randn(BATCH, *SHAPE, seed=6))
    far = [float((made(Problem(operator, y, std)) - made.mean).norm()) for std in (0.0, 1.0, 30.0)]
    assert far[0] > far[1] > far[2]
    assert far[2] < 0.05 * far[0]


def test_more_steps_than_measurements_change_nothing() -> None:
    mask = torch.zeros(BATCH, *SHAPE)
    mask[:, :, 2, 3] = 1
    operator = Inpainting(mask)
    problem = simulate(operator, randn(BATCH, *SHAPE, seed=7).float())
    for iterations in (24, 200):
        found = fitted(iterations).float()(problem)
        torch.testing.assert_close(found, fitted(2).float()(problem))
