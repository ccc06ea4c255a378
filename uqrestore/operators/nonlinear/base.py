"""Differentiable operators: a map, the products with its Jacobian, and its linearisation."""

import abc
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.operators._arrays import Array, as_real
from uqrestore.operators._checks import Shape, require
from uqrestore.operators._value import TensorValue
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.iterative import IterativeOperator

Product = Callable[[Tensor], Tensor]


class NonlinearOperator(TensorValue["NonlinearOperator"]):
    r"""A differentiable map :math:`f` from images to measurements, as a frozen value.

    Shapes are those of :class:`~uqrestore.operators.LinearOperator`. Subclasses define
    :meth:`forward`; both products with the Jacobian :math:`J(x) = \partial f / \partial x` follow
    by automatic differentiation unless they are defined as well. ``f @ A`` is ``x -> f(A x)``,
    and ``A @ f`` is ``x -> A f(x)``.

    Attributes:
        name: Name in the registry.
        in_shape: Image shape without batch, ``(channel, *space)``.
        out_shape: Measurement shape without batch.
        problem_shape: ``()`` for one operator, ``(b,)`` for a batch of them.
    """

    name: ClassVar[str]

    @property
    @abc.abstractmethod
    def in_shape(self) -> Shape: ...

    @property
    @abc.abstractmethod
    def out_shape(self) -> Shape: ...

    @property
    def problem_shape(self) -> Shape:
        return ()

    @property
    def row_mask(self) -> Tensor | None:
        """False where ``y`` is padding, as of a linear operator."""
        return None

    @property
    def homogeneous(self) -> bool:
        """True if ``f(c x) = c f(x)`` for ``c > 0``, so that ``y`` is in the unit of the image."""
        return False

    @property
    def has_derivatives(self) -> bool:
        """Whether both products are written down, without automatic differentiation."""
        return type(self).jvp is not NonlinearOperator.jvp

    @abc.abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(*batch, *problem, *in_shape)`` to noise-free measurements."""

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        """Return ``J(x) v`` for images ``v`` of the shape of ``x``."""
        return self.products(x)[0](v)

    def vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """Return ``J(x)^T v`` for measurements ``v``."""
        x = x.detach()
        with torch.enable_grad():
            seen = self.forward(x.requires_grad_(True))
            return torch.autograd.grad(seen, x, v)[0]

    def products(self, x: Tensor) -> tuple[Product, Product]:
        """Return ``v -> J(x) v`` and ``v -> J(x)^T v``, by differentiation of one evaluation."""
        x = x.detach()
        with torch.enable_grad():
            seen = self.forward(x.requires_grad_(True))
            # J^T u is linear in u, and its gradient along v is J v.
            u = torch.zeros_like(seen, requires_grad=True)
            back = torch.autograd.grad(seen, x, u, create_graph=True)[0]

        def product(out: Tensor, at: Tensor, v: Tensor) -> Tensor:
            return torch.autograd.grad(out, at, v, retain_graph=True)[0]

        return functools.partial(product, back, u), functools.partial(product, seen, x)

    def linearise(self, x: Tensor) -> "Linearised":
        """Return the linear operator ``J(x)``, one for each image ``(*batch, *in_shape)``."""
        return Linearised(self, x)

    def __call__(self, x: Array) -> Tensor:
        """Map images to measurements after checking their shape; numpy arrays are converted."""
        x = as_real(x, self.in_shape)
        want = (*self.problem_shape, *self.in_shape)
        require(
            tuple(x.shape[-len(want) :]) == want and x.is_floating_point(),
            self.name,
            f"acts on real images (*batch, {', '.join(map(str, want))}) but got "
            f"{tuple(x.shape)} of {x.dtype}.",
        )
        return self.forward(x)

    def __matmul__(self, other: "LinearOperator | NonlinearOperator") -> "NonlinearOperator":
        from uqrestore.operators.nonlinear.algebra import compose

        return compose(self, other)

    def __rmatmul__(self, other: LinearOperator) -> "NonlinearOperator":
        from uqrestore.operators.nonlinear.algebra import compose

        return compose(other, self)


@dataclass(frozen=True, eq=False)
class Linearised(IterativeOperator):
    """Jacobian of a nonlinear operator at one image, or at a batch of them.

    Args:
        operator: The operator.
        point: Images ``(*problem, *in_shape)``; the leading dimensions are the batch.
        weight: Factors of the rows of the Jacobian, ``(*problem, *out_shape)``; None for none.
        tol: Relative residual of the normal equations at which the pseudo-inverse stops.
        max_iter: Maximum number of iterations of the pseudo-inverse.
    """

    name: ClassVar[str] = "linearised"
    shapes: ClassVar[str] = "those of the operator"

    operator: LinearOperator | NonlinearOperator
    point: Tensor
    weight: Tensor | None = None
    tol: float = 1e-6
    max_iter: int = 500

    @property
    def in_shape(self) -> Shape:
        return self.operator.in_shape

    @property
    def out_shape(self) -> Shape:
        return self.operator.out_shape

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.point.shape[: self.point.ndim - len(self.in_shape)])

    @property
    def row_mask(self) -> Tensor | None:
        return self.operator.row_mask

    @functools.cached_property
    def _products(self) -> tuple[Product, Product] | None:
        """Products at the point from one evaluation; None where they are written down."""
        operator = self.operator
        if isinstance(operator, LinearOperator) or operator.has_derivatives:
            return None
        return operator.products(self.point)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape == self.point.shape and self._products:
            seen = self._products[0](x)
        else:
            seen = jvp(self.operator, self.point.expand_as(x), x)
        return seen if self.weight is None else self.weight * seen

    def adjoint(self, y: Tensor) -> Tensor:
        lead = y.shape[: y.ndim - len(self.out_shape)]
        y = y if self.weight is None else self.weight * y
        if lead == self.problem_shape and self._products:
            return self._products[1](y)
        return vjp(self.operator, self.point.expand(*lead, *self.in_shape), y)


def is_homogeneous(operator: LinearOperator | NonlinearOperator) -> bool:
    """Return whether ``f(c x) = c f(x)`` for ``c > 0``, as of every linear operator."""
    return isinstance(operator, LinearOperator) or operator.homogeneous


def jvp(operator: LinearOperator | NonlinearOperator, x: Tensor, v: Tensor) -> Tensor:
    """Return ``J(x) v``, which is ``A v`` of a linear operator."""
    return operator.forward(v) if isinstance(operator, LinearOperator) else operator.jvp(x, v)


def vjp(operator: LinearOperator | NonlinearOperator, x: Tensor, v: Tensor) -> Tensor:
    """Return ``J(x)^T v``, which is ``A^T v`` of a linear operator."""
    return operator.adjoint(v) if isinstance(operator, LinearOperator) else operator.vjp(x, v)


def check_jacobian(
    operator: NonlinearOperator, x: Tensor | None = None, *, tol: float = 1e-4
) -> None:
    """Raise unless both products agree with the map, on fixed random probes.

    Args:
        operator: The operator; evaluated in float64.
        x: Images at which to test, ``(*batch, *problem, *in_shape)``; by default two of small
            random values.
        tol: Largest relative difference, of ``J v`` from a central difference and of
            ``<J v, w>`` from ``<v, J^T w>``.

    Raises:
        ValueError: Naming which product is wrong and by how much.
    """
    operator, generator = operator.to(torch.float64), torch.Generator().manual_seed(0)
    random = functools.partial(torch.randn, generator=generator, dtype=torch.float64)
    if x is None:
        x = 0.3 * random(2, *operator.problem_shape, *operator.in_shape)
    x = x.double()
    v = random(x.shape).to(x)
    along, step = operator.jvp(x, v), 1e-5
    moved = (operator.forward(x + step * v) - operator.forward(x - step * v)) / (2 * step)
    gap = float((along - moved).norm() / moved.norm().clamp(min=1e-30))
    require(
        gap < tol,
        operator.name,
        f"jvp is not the derivative of forward: they differ by {gap:.1e} of its size. Correct it, "
        "or leave jvp out and it follows from forward.",
    )
    w = random(along.shape).to(x)
    back, scale = operator.vjp(x, w), along.norm() * w.norm()
    gap = float(((along * w).sum() - (v * back).sum()).abs() / scale.clamp(min=1e-30))
    require(
        gap < tol,
        operator.name,
        f"vjp is not the transpose of jvp: <J v, w> and <v, J^T w> differ by {gap:.1e} of "
        "|J v| |w|. Correct it, or leave vjp out and it follows from forward.",
    )
