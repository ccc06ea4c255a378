"""Consistent images explain their measurements, to the noise and no further."""

import pytest
import torch

from uqrestore.metrics.consistent import make_consistent
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting, LinearOperator, MaskedFourier, Matrix
from uqrestore.operators.base import Spectrum
from uqrestore.problem import Problem, simulate

SHAPE = (1, 5, 6)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


OPERATORS: dict[str, LinearOperator] = {
    "inpainting": Inpainting(randn(*SHAPE, seed=1) > 0),
    "matrix": Matrix(randn(11, 30, seed=2), SHAPE),
    "tall matrix": Matrix(randn(40, 30, seed=3), SHAPE),
    "fourier": MaskedFourier(randn(5, 6, seed=4) > 0, channels=1),
    "fourier batch": MaskedFourier(randn(3, 5, 6, seed=5) > 0, channels=1),
}


def problem(name: str, noise_std: float | torch.Tensor) -> Problem:
    x = randn(3, *SHAPE, seed=6)
    return simulate(
        OPERATORS[name], x, noise_std=noise_std, noise=SampleNoise(0, [0], slices=range(3))
    )


def misfit(x: torch.Tensor, p: Problem) -> torch.Tensor:
    dims = tuple(range(-len(p.operator.out_shape), 0))
    return (p.operator(x) - p.y).square().sum(dims)


def allowed(p: Problem) -> torch.Tensor:
    rows = p.operator.row_mask
    ones = torch.ones(3, *p.operator.out_shape, dtype=torch.float64)
    count = (ones if rows is None else ones * rows).flatten(1).sum(-1)
    return count * torch.as_tensor(p.noise_std).double() ** 2


@pytest.mark.parametrize("name", ["inpainting", "matrix", "fourier", "fourier batch"])
def test_without_noise_the_measurement_is_explained_exactly(name: str) -> None:
    p = problem(name, 0.0)
    x = randn(2, 3, *SHAPE, seed=7)
    assert misfit(make_consistent(x, p), p).max() < 1e-12 * misfit(x, p).max()


@pytest.mark.parametrize("name", OPERATORS)
def test_with_noise_the_misfit_becomes_that_of_the_noise(name: str) -> None:
    p = problem(name, torch.tensor([0.05, 0.2, 0.6], dtype=torch.float64))
    x = 3 * randn(2, 3, *SHAPE, seed=7)
    after = make_consistent(x, p)

    assert (misfit(x, p) > allowed(p)).all()
    torch.testing.assert_close(misfit(after, p), allowed(p).expand(2, 3), rtol=1e-6, atol=0)
    seen = p.operator.pinv(p.operator(after - x))
    torch.testing.assert_close(seen, after - x, msg="only what is measured may move")


def test_what_the_noise_explains_is_left_alone() -> None:
    p = problem("matrix", 0.2)
    p = Problem(p.operator, p.y, 50.0)
    x = randn(3, *SHAPE, seed=7)
    torch.testing.assert_close(make_consistent(x, p), x, rtol=0, atol=0)


def test_small_noise_gives_the_noise_free_projection() -> None:
    x = randn(3, *SHAPE, seed=7)
    p = problem("matrix", 1e-7)
    torch.testing.assert_close(
        make_consistent(x, p), p.operator.project(x, p.y), rtol=1e-5, atol=1e-6
    )


def test_a_measurement_that_no_image_explains_gets_the_nearest() -> None:
    p = problem("tall matrix", 1e-9)
    p = Problem(p.operator, p.y + randn(3, 40, seed=8), 1e-9)
    x = randn(3, *SHAPE, seed=7)
    torch.testing.assert_close(make_consistent(x, p), p.operator.project(x, p.y))


class NoSpectrum(Matrix):
    """A matrix too large to decompose."""

    def spectral(self) -> Spectrum:
        return None  # type: ignore[return-value]


def test_an_operator_without_a_spectrum_is_refused() -> None:
    p = Problem(NoSpectrum(randn(11, 30, seed=2), SHAPE), randn(3, 11), 0.1)
    with pytest.raises(ValueError, match="no cheap singular value decomposition"):
        make_consistent(randn(3, *SHAPE), p)
