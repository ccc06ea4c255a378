"""Identities that every operator of the registry obeys."""

import dataclasses
import json
import pickle
from typing import ClassVar

import pytest
import torch
from torch import Generator, Tensor

from tests.operators.cases import CASES, VARIANTS
from uqrestore.operators import (
    OPERATORS,
    LinearOperator,
    check_adjoint,
    from_data,
    stack_operators,
    valid_adjoint,
)
from uqrestore.operators._compound import Wrapper

ALL = CASES | VARIANTS


def build(name: str, seed: int = 0) -> LinearOperator:
    return ALL[name](Generator().manual_seed(seed)).to(torch.float64)


@pytest.fixture(params=sorted(ALL))
def operator(request: pytest.FixtureRequest) -> LinearOperator:
    return build(request.param)


def randn(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64).to(
        dtype
    )


def image(operator: LinearOperator, *batch: int, seed: int = 1) -> Tensor:
    return randn((*batch, *operator.problem_shape, *operator.in_shape), seed)


def measurement(operator: LinearOperator, *batch: int, seed: int = 2) -> Tensor:
    return randn((*batch, *operator.problem_shape, *operator.out_shape), seed)


def tolerance(operator: LinearOperator, exact: float) -> float:
    """Return ``exact`` for closed forms, and for iterative ones the stated tolerance.

    That is the tolerance of the residual; the cases have condition numbers below the factor.
    """
    return exact if operator.exact_pinv else max(exact, 30 * getattr(operator, "tol", 1e-6))


def assert_near(got: Tensor, want: Tensor, limit: float) -> None:
    error = (got - want).norm() / want.norm().clamp(min=1e-12)
    assert error < limit, f"relative error {error:.1e}, limit {limit:.0e}"


def test_every_operator_has_a_case() -> None:
    assert set(OPERATORS) == set(CASES), "add one line to CASES for each new operator"


def test_every_operator_is_registered_by_its_name() -> None:
    assert all(kind.name == name for name, kind in OPERATORS.items())


@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
def test_adjoint_is_the_transpose(operator: LinearOperator, batch: tuple[int, ...]) -> None:
    x, y = image(operator, *batch), measurement(operator, *batch)
    gap = (operator(x) * y).sum() - (x * operator.adjoint(y)).sum()
    assert gap.abs() < 1e-10 * x.norm() * y.norm()


def test_normal_is_the_adjoint_of_the_measurement(operator: LinearOperator) -> None:
    x = image(operator, 2)
    expected = operator.adjoint(operator(x))
    torch.testing.assert_close(operator.normal(x), expected, rtol=1e-9, atol=1e-9)


def test_the_public_test_of_an_adjoint_agrees(operator: LinearOperator) -> None:
    assert valid_adjoint(operator, tol=1e-10, dtype=torch.float64)
    check_adjoint(operator, tol=1e-10, dtype=torch.float64)
    assert not valid_adjoint(WrongAdjoint((operator,)), dtype=torch.float64) or is_zero(operator)


@dataclasses.dataclass(frozen=True, eq=False)
class WrongAdjoint(Wrapper):
    """An operator whose adjoint is a thousandth too large."""

    name: ClassVar[str] = "wrong"
    shapes: ClassVar[str] = "those of its part"

    parts: tuple[LinearOperator, ...]

    def forward(self, x: Tensor) -> Tensor:
        return self.part.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return 1.001 * self.part.adjoint(y)

    def pinv(self, y: Tensor) -> Tensor:
        return self.part.pinv(y)


def is_zero(operator: LinearOperator) -> bool:
    return not operator(image(operator)).any()


def test_adjoint_matches_autograd(operator: LinearOperator) -> None:
    x, y = image(operator).requires_grad_(), measurement(operator)
    (gradient,) = torch.autograd.grad((operator(x) * y).sum(), x)
    torch.testing.assert_close(gradient, operator.adjoint(y))


@pytest.mark.parametrize(("dtype", "exact"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_pinv_obeys_penrose(operator: LinearOperator, dtype: torch.dtype, exact: float) -> None:
    operator, limit = operator.to(dtype), tolerance(operator, exact)
    x, y = image(operator).to(dtype), measurement(operator).to(dtype)
    u, v = measurement(operator, seed=3).to(dtype), image(operator, seed=4).to(dtype)
    A, pinv = operator.forward, operator.pinv
    assert_near(A(pinv(A(x))), A(x), limit)
    assert_near(pinv(A(pinv(y))), pinv(y), limit)
    aligned = (A(pinv(y)) * u).sum() - (y * A(pinv(u))).sum()
    assert aligned.abs() < limit * y.norm() * u.norm()
    aligned = (pinv(A(x)) * v).sum() - (x * pinv(A(v))).sum()
    assert aligned.abs() < limit * x.norm() * v.norm()


def test_pinv_is_that_of_the_dense_matrix(operator: LinearOperator) -> None:
    one = operator[0] if operator.problem_shape else operator
    pixels = torch.Size(one.in_shape).numel()
    unit = torch.eye(pixels, dtype=torch.float64).reshape(pixels, *one.in_shape)
    dense = one(unit).flatten(1).T
    y = measurement(one)
    want = torch.linalg.pinv(dense, rtol=1e-8) @ y.flatten()
    assert_near(one.pinv(y).flatten(), want, tolerance(one, 1e-9))


def test_pinv_is_the_transpose_of_its_gradient(operator: LinearOperator) -> None:
    y, x = measurement(operator).requires_grad_(), image(operator)
    (gradient,) = torch.autograd.grad((operator.pinv(y) * x).sum(), y)
    u = measurement(operator, seed=3)
    gap = (gradient * u).sum() - (operator.pinv(u) * x).sum()
    assert gap.abs() < tolerance(operator, 1e-10) * u.norm() * x.norm()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_type_out_is_type_in(operator: LinearOperator, dtype: torch.dtype) -> None:
    operator = operator if dtype == torch.float64 else operator.to(torch.float32)
    x, y = image(operator).to(dtype), measurement(operator).to(dtype)
    assert operator(x).dtype == operator.adjoint(y).dtype == operator.pinv(y).dtype == dtype


def test_project_explains_the_measurement(operator: LinearOperator) -> None:
    y = operator(image(operator))
    x = operator.project(image(operator, 4, seed=2), y)
    assert_near(operator(x), y.expand_as(operator(x)), tolerance(operator, 1e-9))


def test_padding_is_zero_and_ignored(operator: LinearOperator) -> None:
    if (rows := operator.row_mask) is None:
        rows = torch.ones(operator.out_shape, dtype=torch.bool)
    y = operator(image(operator))
    assert (y * ~rows == 0).all()
    noisy = y + 100 * measurement(operator) * ~rows
    torch.testing.assert_close(operator.adjoint(noisy), operator.adjoint(y))
    torch.testing.assert_close(operator.pinv(noisy), operator.pinv(y))


def test_spectrum_rebuilds_the_operator(operator: LinearOperator) -> None:
    spectrum = operator.spectral()
    assert spectrum is not None or not operator.exact_pinv, "a closed form has a spectrum"
    if spectrum is None:
        return
    x, y = image(operator, 2), measurement(operator, 2)
    kept = spectrum.s > 0
    torch.testing.assert_close(spectrum.u(spectrum.s * spectrum.vt(x)), operator(x))
    torch.testing.assert_close(spectrum.v(spectrum.s * spectrum.ut(y)), operator.adjoint(y))
    inverse = torch.where(kept, 1 / spectrum.s, 0)
    torch.testing.assert_close(spectrum.v(inverse * spectrum.ut(y)), operator.pinv(y))
    c = randn(tuple(spectrum.vt(x).shape), 5)
    torch.testing.assert_close(spectrum.vt(spectrum.v(c)), c * kept)
    torch.testing.assert_close(spectrum.ut(spectrum.u(c)), c * kept)
    rank = operator.rank()
    assert rank is not None
    assert (rank == kept.sum(-1)).all()
    if operator.singular_value is not None:
        torch.testing.assert_close(
            spectrum.s[kept], torch.full_like(spectrum.s[kept], operator.singular_value)
        )


def test_solve_is_the_wiener_estimate(operator: LinearOperator) -> None:
    y = measurement(operator, 2)
    x, info = operator.solve(y, noise_std=0.3, tol=1e-9)
    normal = operator.adjoint(operator(x)) + 0.3**2 * x
    assert_near(normal, operator.adjoint(y), 1e-7)
    assert info.residual.shape == (2, *operator.problem_shape)
    assert (info.residual < 1e-7).all()


def test_solve_without_noise_is_the_pseudo_inverse(operator: LinearOperator) -> None:
    y = measurement(operator)
    x, info = operator.solve(y)
    assert_near(x, operator.pinv(y), tolerance(operator, 1e-9))
    assert info.iterations == 0 or not operator.exact_pinv
    assert (info.residual < tolerance(operator, 1e-9)).all()


@pytest.mark.parametrize("intensity", [1e-30, 1e-20, 1e20, 1e30])
def test_solves_are_as_good_at_any_intensity(operator: LinearOperator, intensity: float) -> None:
    """Squares of float32 numbers of 1e-30 underflow, those of 1e30 overflow."""
    operator = operator.to(torch.float32)
    y = operator(image(operator).float())
    y = torch.stack([y, intensity * y])  # of one batch
    for solve in (lambda y: operator.solve(y), lambda y: operator.solve(y, noise_std=0.3)):
        (x, scaled), info = solve(y)
        torch.testing.assert_close(scaled / intensity, x, rtol=2e-3, atol=2e-4)
        assert (info.residual[1] - info.residual[0]).abs().max() < 1e-5
    x, scaled = operator.pinv(y)
    torch.testing.assert_close(scaled / intensity, x, rtol=2e-3, atol=2e-4)


def test_noise_gain_is_the_size_of_the_pseudo_inverse(operator: LinearOperator) -> None:
    if not (gain := operator.noise_gain()).any():
        assert OPERATORS["zero"] is type(operator)
        return
    one = operator.select(0) if operator.problem_shape else operator
    unit = torch.eye(int(torch.Size(one.out_shape).numel()), dtype=torch.float64)
    inverse = one.pinv(unit.reshape(-1, *one.out_shape)).flatten(1)
    rank = one(one.pinv(unit.reshape(-1, *one.out_shape))).flatten(1).trace()
    want = inverse.norm() / rank.sqrt()
    assert gain.flatten()[0].item() == pytest.approx(
        want.item(), rel=1e-6 if operator.spectral() else 0.15
    )


def test_wrong_shape_is_named(operator: LinearOperator) -> None:
    with pytest.raises(ValueError, match=r"acts on images of shape .* but got \(5, 5\)"):
        operator(torch.zeros(5, 5, dtype=torch.float64))


def test_integer_images_are_refused(operator: LinearOperator) -> None:
    with pytest.raises(ValueError, match="floating-point"):
        operator(image(operator).int())


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_stack_acts_problem_by_problem(name: str) -> None:
    parts = [build(name, seed) for seed in range(3)]
    stack, each = stack_operators(parts), sum(parts[0].problem_shape) or 1
    assert stack.problem_shape == (3 * each,)
    x, y = image(stack, 5), measurement(stack, 5)  # (stack, problem, ...)
    limit = tolerance(stack, 1e-10)
    for i, part in enumerate(parts):
        at = slice(i * each, (i + 1) * each) if part.problem_shape else i
        for one in (part, stack[at]):
            rows = slice(0, one.out_shape[-1])
            assert_near(stack(x)[:, at][..., rows], one(x[:, at]), 1e-12)
            assert_near(stack.adjoint(y)[:, at], one.adjoint(y[:, at][..., rows]), 1e-12)
            assert_near(stack.pinv(y)[:, at], one.pinv(y[:, at][..., rows]), limit)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_sub_batch_acts_as_it_did_in_the_batch(name: str) -> None:
    stack = stack_operators([build(name, seed) for seed in range(3)])
    x = image(stack, 5)
    assert_near(stack[[2, 0]](x[:, [2, 0]]), stack(x)[:, [2, 0]], 1e-12)
    assert_near(stack[1:](x[:, 1:]), stack(x)[:, 1:], 1e-12)
    assert_near(stack[-1](x[:, -1]), stack(x)[:, -1], 1e-12)
    longer = stack_operators([stack, stack[:1]])
    assert longer.problem_shape == (stack.problem_shape[0] + 1,)
    assert_near(longer[-1](x[:, 0]), stack(x)[:, 0], 1e-12)
    with pytest.raises(IndexError):
        stack.select(99)


def test_pickle_keeps_the_operator(operator: LinearOperator) -> None:
    x = image(operator)
    torch.testing.assert_close(pickle.loads(pickle.dumps(operator))(x), operator(x))


def test_plain_data_rebuild_the_operator(operator: LinearOperator) -> None:
    params, arrays = operator.to_data()
    params = json.loads(json.dumps(params))
    again, y = from_data(operator.name, params, arrays), measurement(operator)
    assert isinstance(again, LinearOperator)
    torch.testing.assert_close(again.pinv(y), operator.pinv(y))


def tensors(operator: LinearOperator) -> list[Tensor]:
    own = [value for value in vars(operator).values() if isinstance(value, Tensor)]
    return own + [value for part in getattr(operator, "parts", ()) for value in tensors(part)]


def test_moving_keeps_the_operator(operator: LinearOperator) -> None:
    moved = operator.to("meta")
    assert all(value.device.type == "meta" for value in tensors(moved))
    if operator.name in {"radial_fourier", "coil_radial"}:  # finufft computes numbers or nothing
        return
    x, y = image(operator), measurement(operator)
    assert moved(x.to("meta")).shape == operator(x).shape
    assert moved.adjoint(y.to("meta")).shape == x.shape
    rows, spectrum = moved.row_mask, moved.spectral()
    assert rows is None or rows.device.type == "meta"
    if spectrum is not None:
        c = spectrum.vt(x.to("meta"))
        assert spectrum.s.device.type == "meta"
        assert spectrum.v(c).shape == x.shape
        assert spectrum.u(spectrum.ut(y.to("meta"))).shape == y.shape


def test_unknown_parameters_are_errors(operator: LinearOperator) -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        dataclasses.replace(operator, maks=1)  # type: ignore[type-var]


def test_autocast_does_not_touch_the_operator(operator: LinearOperator) -> None:
    operator = operator.to(torch.float32)
    x, y = image(operator).float(), measurement(operator).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = operator(x), operator.adjoint(y), operator.pinv(y)
    for value, want in zip(got, (operator(x), operator.adjoint(y), operator.pinv(y)), strict=True):
        torch.testing.assert_close(value, want)
