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
    UncertainMaps,
    UncertainMotion,
    UncertainOperator,
    UncertainPhase,
    check_jacobian,
    compose,
    magnitude_fourier,
    phase_retrieval,
)
from uqrestore.operators.nonlinear.uncertain import Joint
from uqrestore.operators.nonlinear.uncertain_motion import move_rigidly

SHAPE = (1, 5, 3)


def projections() -> Radon:
    return Radon(torch.tensor([0.0, 40, 95], dtype=torch.float64), SHAPE, detectors=6)


def coil_fourier(g: Generator) -> CoilFourier:
    return CoilFourier(mask(g, 5, 3, fraction=0.7), coils(g, 2, 5, 3))


SHOTS = torch.arange(5)[:, None] % 3

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
    "uncertain_composed": lambda _: compose(UncertainBlur(SHAPE, 0.8, 0.3), Affine(SHAPE, 2, 7)),
    "uncertain_gain": lambda g: UncertainGain(Matrix(normal(g, 7, 15), SHAPE), 2.0, 0.3),
    "uncertain_maps": lambda g: UncertainMaps(coil_fourier(g)),
    "uncertain_motion": lambda g: UncertainMotion(coil_fourier(g), SHOTS),
    "uncertain_phase": lambda g: UncertainPhase(coil_fourier(g), order=2),
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
    "image and maps": lambda g: Joint(UncertainMaps(coil_fourier(g))),
    "image and maps, even, real": lambda g: Joint(
        UncertainMaps(
            CoilFourier(mask(g, 2, 4, 6), coils(g, 2, 2, 4, 6), phase=normal(g, 2, 4, 6)), 0.1
        )
    ),
    "image and motion": lambda g: Joint(UncertainMotion(coil_fourier(g), SHOTS, 0.5, 10.0)),
    "real image and motion": lambda _: Joint(
        UncertainMotion(Matrix(torch.eye(15).double(), SHAPE), torch.arange(15) % 3)
    ),
    "image and phase": lambda g: Joint(UncertainPhase(coil_fourier(g), 2, 0.5, normal(g, 5, 3))),
    "image alone": lambda _: Joint(Saturation(SHAPE, -0.5, 0.7)),
    "gain of counts": lambda _: UncertainGain(BeerLambert(SHAPE, 9.0), 2.0, 0.3),
    "gain of some pixels": lambda g: compose(
        UncertainGain(Matrix(normal(g, 7, 15), SHAPE)), Inpainting(mask(g, *SHAPE))
    ),
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


@pytest.mark.parametrize("name", [n for n in sorted(ALL) if "uncertain" in n or "gain of" in n])
def test_what_is_linear_in_the_image_given_its_parameters_says_so(name: str) -> None:
    operator = ALL[name](Generator().manual_seed(0)).to(torch.float64)
    assert isinstance(operator, UncertainOperator)
    x, other = image(operator, 2), image(operator, 2, seed=2)
    theta = normal(Generator().manual_seed(3), 2, *operator.problem_shape, operator.count)
    whole = operator.forward_at(2 * x + other, theta)
    parts = 2 * operator.forward_at(x, theta) + operator.forward_at(other, theta)
    assert torch.allclose(whole, parts) == operator.linear_in_image


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


def test_uncertain_operators_are_their_part_at_the_centre() -> None:
    part = coil_fourier(Generator().manual_seed(0))
    x = image(UncertainMaps(part))
    torch.testing.assert_close(UncertainMaps(part)(x), part(x))
    torch.testing.assert_close(UncertainMotion(part, SHOTS)(x), part(x))
    real = UncertainPhase(part, 1)
    torch.testing.assert_close(real(x[:1]), part(torch.cat([x[:1], torch.zeros_like(x[:1])])))


@pytest.mark.parametrize("phase", [False, True])
@pytest.mark.parametrize("rows", [5, 4])
def test_drawn_maps_measure_as_fourier_sampling_with_these_maps(rows: int, phase: bool) -> None:
    g = Generator().manual_seed(0)
    maps = coils(g, 3, rows, 6)
    maps[:, 1, 2] = 0
    known = normal(g, rows, 6) if phase else None
    part = CoilFourier(mask(g, rows, 6), maps, phase=known)
    uncertain = UncertainMaps(part, 0.2)
    theta, x = normal(g, uncertain.count), normal(g, *part.in_shape)
    drawn = torch.complex(*uncertain.values(theta)["maps"])
    assert (drawn[:, 1, 2] == 0).all()
    changed = CoilFourier(part.mask, drawn, phase=known)
    torch.testing.assert_close(uncertain.forward_at(x, theta), changed(x))


def test_errors_of_maps_have_the_standard_deviation_that_is_stated() -> None:
    """Of two coils one direction is left: a half of the variance."""
    g = Generator().manual_seed(0)
    part = CoilFourier(mask(g, 12, 13), torch.ones(2, 12, 13, dtype=torch.complex128))
    uncertain = UncertainMaps(part, 0.02)
    away = uncertain.values(normal(g, 2000, uncertain.count))["maps"]
    away = away - uncertain.values(torch.zeros(uncertain.count).double())["maps"]
    torch.testing.assert_close(away.std(), torch.tensor(0.02 / 2**0.5).double(), rtol=0.02, atol=0)


@pytest.mark.parametrize("rows", [5, 4])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("real", [False, True])
def test_the_jacobian_of_maps_is_that_of_automatic_differentiation(
    real: bool, before: bool, rows: int
) -> None:
    g = Generator().manual_seed(0)
    maps = coils(g, 3, rows, 6)
    maps[:, 1, 2] = 0
    part = CoilFourier(mask(g, rows, 6), maps, phase=normal(g, rows, 6) if real else None)
    operator: NonlinearOperator = UncertainMaps(part, 0.3)
    if before:
        inside = normal(g, *part.in_shape)
        operator = operator @ Inpainting(inside > 0)
    joint = Joint(operator)
    point, v = normal(g, 2, *joint.in_shape), normal(g, 2, *joint.in_shape)
    w = normal(g, 2, *joint.out_shape)
    along, back = joint.products(point)
    slow_along, slow_back = NonlinearOperator.products(joint, point)
    torch.testing.assert_close(along(v), slow_along(v))
    torch.testing.assert_close(back(w), slow_back(w))


@pytest.mark.parametrize("real", [False, True])
def test_drawn_maps_leave_size_and_phase_to_the_image(real: bool) -> None:
    """An image of twice the size with maps of half of it is no other explanation."""
    g = Generator().manual_seed(0)
    first = coils(g, 3, 5, 6)
    part = CoilFourier(mask(g, 5, 6), first, phase=torch.zeros(5, 6) if real else None)
    uncertain = UncertainMaps(part, 0.3)
    drawn = torch.complex(*uncertain.values(normal(g, uncertain.count))["maps"])
    torch.testing.assert_close(drawn.norm(dim=0), first.norm(dim=0))
    along = (first.conj() * drawn).sum(0)
    assert (along.real > 0).all()
    assert bool((along.imag.abs() < 1e-12).all()) != real
    assert (drawn - first).abs().mean() > 0.1


def test_a_phase_of_pi_turns_the_sign() -> None:
    g = Generator().manual_seed(0)
    operator = UncertainPhase(coil_fourier(g), order=1, std=torch.pi)
    x = image(operator)
    theta = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(operator.forward_at(x, theta), -operator(x))
    ramp = operator.values(torch.tensor([0.0, 0, 1]).double())["phase"]
    torch.testing.assert_close(ramp[0], torch.pi * torch.tensor([-1.0, 0, 1]).double())


@pytest.mark.parametrize("turn", [-20.0, 3.0, 20.0])
def test_a_moved_spot_is_where_it_belongs(turn: float) -> None:
    rows, columns, shift = 31, 36, torch.tensor([1.3, -2.4]).double()
    y, x = torch.meshgrid(torch.arange(rows) - 15.0, torch.arange(columns) - 17.5, indexing="ij")

    def spot(down: Tensor, across: Tensor) -> Tensor:
        return torch.exp(-((y.double() - down) ** 2 + (x.double() - across) ** 2) / (2 * 1.5**2))

    start, angle = torch.tensor([4.0, -5.0]).double(), torch.deg2rad(torch.tensor(turn).double())
    cos, sin = angle.cos(), angle.sin()
    end = torch.stack([sin * start[1] + cos * start[0], cos * start[1] - sin * start[0]]) + shift
    moved = move_rigidly(spot(*start)[None], shift, torch.tensor(turn).double())
    assert (moved[0] - spot(*end)).abs().max() < 1e-3
    back = move_rigidly(move_rigidly(moved, -shift, angle * 0), shift * 0, torch.tensor(-turn))
    assert (back[0] - spot(*start)).abs().max() < 2e-3


def test_every_shot_sees_the_object_where_it_was() -> None:
    g = Generator().manual_seed(0)
    operator = UncertainMotion(coil_fourier(g), SHOTS)
    x, theta = image(operator), normal(g, operator.count)
    y, motion = operator.forward_at(x, theta), operator.values(theta)
    assert motion["shift"].shape == (2, 2)
    for row, shot in enumerate(SHOTS[:, 0].tolist()):
        seen = x
        if shot:
            seen = move_rigidly(x, motion["shift"][shot - 1], motion["turn"][shot - 1])
        torch.testing.assert_close(y[:, :, row], operator.part(seen)[:, :, row])


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
    part = coil_fourier(Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"uncertain_motion: shots \(4, 1\) do not broadcast to"):
        UncertainMotion(part, SHOTS[:4])
    with pytest.raises(ValueError, match=r"without gaps, and at least two, got \[0, 2, 4\]"):
        UncertainMotion(part, 2 * SHOTS)
    with pytest.raises(ValueError, match="wants an operator on complex images"):
        UncertainPhase(Matrix(torch.eye(15), SHAPE))
    with pytest.raises(ValueError, match=r"phase must be of shape \(5, 3\)"):
        UncertainPhase(part, phase=torch.zeros(3, 5))
    with pytest.raises(ValueError, match="uncertain_maps: std must be finite and above 0"):
        UncertainMaps(part, 0.0)
    with pytest.raises(ValueError, match=r"acts on real images \(\*batch, 1, 5, 3\) but got"):
        Saturation(SHAPE, 0, 1)(torch.zeros(2, 5, 4))
