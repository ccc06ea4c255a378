"""Identities that every nonlinear operator obeys: derivative, transpose, batches, composition."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Generator, Tensor

from tests.operators.cases import coils, mask, normal
from uqrestore.operators import (
    CoilFourier,
    Inpainting,
    MaskedFourier,
    Matrix,
    Radon,
    valid_adjoint,
)
from uqrestore.operators.nonlinear import (
    NONLINEAR_OPERATORS,
    Affine,
    BeerLambert,
    Magnitude,
    NonlinearComposed,
    NonlinearOperator,
    Saturation,
    UncertainBlur,
    UncertainGain,
    check_jacobian,
    compose,
    magnitude_fourier,
    phase_retrieval,
)
from uqrestore.operators.nonlinear.uncertain import Joint

SHAPE = (1, 5, 3)


def projections() -> Radon:
    return Radon(torch.tensor([0.0, 40, 95], dtype=torch.float64), SHAPE, detectors=6)


CASES: dict[str, Callable[[Generator], NonlinearOperator]] = {
    "affine": lambda _: Affine(SHAPE, -3.0, 40.0),
    "beer_lambert": lambda _: BeerLambert(SHAPE, 100.0),
    "magnitude": lambda _: Magnitude((2, 5, 3)),
    "nonlinear_composed": lambda g: compose(
        Magnitude((2, 4, 5, 3)),
        CoilFourier(mask(g, 5, 3, fraction=0.7), coils(g, 4, 5, 3), phase=normal(g, 5, 3)),
        Affine(SHAPE, 0.0, 2.0),
    ),
    "saturation": lambda _: Saturation(SHAPE, -0.5, 0.7),
    "uncertain_blur": lambda _: UncertainBlur(SHAPE, 0.8, 0.3),
    "uncertain_gain": lambda g: UncertainGain(Matrix(normal(g, 7, 15), SHAPE), 2.0, 0.3),
}
VARIANTS: dict[str, Callable[[Generator], NonlinearOperator]] = {
    "low-dose CT": lambda _: (
        BeerLambert(projections().out_shape, 50.0) @ projections() @ Affine(SHAPE, 0.0, 0.1)
    ),
    "intensities": lambda _: Magnitude((2, 3, 5), squared=True),
    "phase retrieval": lambda g: phase_retrieval(coils(g, 3, 5, 3)),
    "magnitude of Fourier": lambda _: magnitude_fourier(SHAPE, squared=True),
    "linear behind nonlinear": lambda g: Inpainting(mask(g, *SHAPE)) @ Saturation(SHAPE, 0, 1),
    "image and gain": lambda g: Joint(UncertainGain(Matrix(normal(g, 7, 15), SHAPE), 2.0, 0.3)),
    "image and width": lambda _: Joint(UncertainBlur(SHAPE, 0.8, 0.3)),
    "image alone": lambda _: Joint(Saturation(SHAPE, -0.5, 0.7)),
    "batch": lambda g: BeerLambert((7,), 3.0) @ Matrix(normal(g, 2, 7, 15), SHAPE),
    "by automatic differentiation": lambda _: Cubed(),
}
ALL = CASES | VARIANTS


@dataclass(frozen=True, eq=False)
class Cubed(NonlinearOperator):
    """An operator of a user: a map alone."""

    name: ClassVar[str] = "cubed"

    @property
    def in_shape(self) -> tuple[int, ...]:
        return SHAPE

    @property
    def out_shape(self) -> tuple[int, ...]:
        return SHAPE

    def forward(self, x: Tensor) -> Tensor:
        return x**3 + x.roll(1, -1)


@pytest.fixture(params=sorted(ALL))
def operator(request: pytest.FixtureRequest) -> NonlinearOperator:
    return ALL[request.param](Generator().manual_seed(0)).to(torch.float64)


def image(operator: NonlinearOperator, *batch: int, seed: int = 1) -> Tensor:
    shape = (*batch, *operator.problem_shape, *operator.in_shape)
    return normal(Generator().manual_seed(seed), *shape)


def test_every_operator_has_a_case_and_its_name() -> None:
    assert set(NONLINEAR_OPERATORS) == set(CASES)
    assert all(kind.name == name for name, kind in NONLINEAR_OPERATORS.items())


def test_remainder_of_the_linearisation_is_of_second_order(operator: NonlinearOperator) -> None:
    x, v = image(operator, 2), image(operator, 2, seed=2)

    def remainder(step: float) -> Tensor:
        line = operator(x) + step * operator.jvp(x, v)
        return (operator(x + step * v) - line).norm() / operator(x).norm()

    coarse, fine = remainder(1e-4), remainder(1e-5)
    assert fine < 1e-13 or 50 < coarse / fine < 200


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_linearisation_is_linear_with_the_transpose_as_adjoint(
    operator: NonlinearOperator, batch: tuple[int, ...]
) -> None:
    linear = operator.linearise(image(operator, *batch))
    assert linear.problem_shape == (*batch, *operator.problem_shape)
    assert valid_adjoint(linear, tol=1e-10, dtype=torch.float64)
    check_jacobian(operator, image(operator, *batch))


def test_automatic_derivatives_are_those_that_are_written_down(
    operator: NonlinearOperator,
) -> None:
    x, v = image(operator, 2), image(operator, 2, seed=2)
    w = normal(Generator().manual_seed(3), *operator(x).shape)
    torch.testing.assert_close(NonlinearOperator.jvp(operator, x, v), operator.jvp(x, v))
    torch.testing.assert_close(NonlinearOperator.vjp(operator, x, w), operator.vjp(x, w))


def test_a_batch_gives_what_one_image_at_a_time_gives(operator: NonlinearOperator) -> None:
    x, v = image(operator, 3), image(operator, 3, seed=2)
    torch.testing.assert_close(operator(x)[1], operator(x[1]))
    torch.testing.assert_close(operator.jvp(x, v)[2], operator.jvp(x[2], v[2]))


def test_one_problem_of_a_batch_is_that_problem() -> None:
    whole = ALL["batch"](Generator().manual_seed(0))
    x = image(whole)
    torch.testing.assert_close(whole.select(1)(x[1]), whole(x)[1])


def test_compositions_are_flat_and_know_padding() -> None:
    g = Generator().manual_seed(0)
    sampled = mask(g, 5, 3)
    fourier = MaskedFourier(sampled, channels=1)
    both = Magnitude(fourier.out_shape) @ (fourier @ Affine(SHAPE, 0, 1))
    assert isinstance(both, NonlinearComposed)
    assert len(both.parts) == 3
    x = image(both)
    torch.testing.assert_close(
        both(x), fourier(Affine(SHAPE, 0, 1)(x)).square().sum(0, keepdim=True).sqrt()
    )
    dropped = Inpainting(mask(g, *SHAPE))
    kept = (Saturation(SHAPE, 0, 1) @ dropped).row_mask
    assert kept is not None
    assert torch.equal(kept, dropped.row_mask)


def test_phases_are_what_magnitudes_do_not_see() -> None:
    operator = magnitude_fourier(SHAPE)
    x = image(operator)
    torch.testing.assert_close(operator(-x), operator(x))
    torch.testing.assert_close(operator(x.flip(-1, -2)), operator(x))
    assert not torch.allclose(
        phase_retrieval(coils(Generator().manual_seed(0), 3, 5, 3))(x),
        phase_retrieval(coils(Generator().manual_seed(0), 3, 5, 3))(x.flip(-1)),
    )


@dataclass(frozen=True, eq=False)
class Wrong(Cubed):
    """Cubed with one product of another map."""

    product: str = "jvp"

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        return super().jvp(x, v) * (1.01 if self.product == "jvp" else 1)

    def vjp(self, x: Tensor, v: Tensor) -> Tensor:
        return super().vjp(x, v) * (1.01 if self.product == "vjp" else 1)


@pytest.mark.parametrize("product", ["jvp", "vjp"])
def test_a_wrong_jacobian_is_refused(product: str) -> None:
    with pytest.raises(ValueError, match=f"^cubed: {product} is not the"):
        check_jacobian(Wrong(product))


def test_bad_operators_are_refused() -> None:
    with pytest.raises(ValueError, match="photons must be above 0"):
        BeerLambert(SHAPE, 0.0)
    with pytest.raises(ValueError, match="low is 1 but high is 0"):
        Saturation(SHAPE, 1, 0)
    with pytest.raises(ValueError, match=r"wants values of shape \(2, \.\.\.\)"):
        Magnitude(SHAPE)
    with pytest.raises(ValueError, match=r"beer_lambert acts on \(1, 4, 3\) but saturation"):
        compose(BeerLambert((1, 4, 3), 1.0), Saturation(SHAPE, 0, 1))
    with pytest.raises(ValueError, match=r"acts on real images \(\*batch, 1, 5, 3\) but got"):
        Saturation(SHAPE, 0, 1)(torch.zeros(2, 5, 4))
