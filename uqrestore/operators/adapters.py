"""Operators made of functions or deepinv physics, and the reverse; wrong adjoints are refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from uqrestore.operators._checks import Shape, require
from uqrestore.operators.adjoint import check_adjoint
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.iterative import IterativeOperator, check_iteration, linear_map

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class CallableOperator(IterativeOperator):
    """An operator given as two functions; made by :func:`from_callable`.

    Args:
        apply: ``A``, on ``(batch, *in_shape)``.
        transpose: ``A^T``, on ``(batch, *out_shape)``.
        image: Shape of an image.
        measurement: Shape of a measurement.
        source: Name of the functions in messages.
        tol: Relative residual of the normal equations at which the pseudo-inverse stops.
        max_iter: Maximum number of iterations of the pseudo-inverse.

    Raises:
        ValueError: If the functions are not linear, not transposes, or give other shapes.
    """

    name: ClassVar[str] = "callable"
    shapes: ClassVar[str] = "as given"

    apply: Map
    transpose: Map
    image: Shape
    measurement: Shape
    source: str = "callable"
    tol: float = 1e-5
    max_iter: int = 300

    def __post_init__(self) -> None:
        check_iteration(self.source, self.tol, self.max_iter)
        check_adjoint(self, name=self.source)

    @property
    def in_shape(self) -> Shape:
        return self.image

    @property
    def out_shape(self) -> Shape:
        return self.measurement

    @property
    def problem_shape(self) -> Shape:
        return ()

    def forward(self, x: Tensor) -> Tensor:
        return linear_map(self._flat(self.apply), self._flat(self.transpose), x)

    def adjoint(self, y: Tensor) -> Tensor:
        return linear_map(self._flat(self.transpose), self._flat(self.apply), y)

    def _flat(self, function: Map) -> Map:
        """Call a function of one batch dimension with any number of batch dimensions."""
        own = len(self.image if function is self.apply else self.measurement)

        def call(value: Tensor) -> Tensor:
            batch = value.shape[: value.ndim - own]
            out = function(value.reshape(-1, *value.shape[value.ndim - own :]))
            return out.reshape(*batch, *out.shape[1:])

        return call

    def to_data(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        raise TypeError(
            f"{self.source} is made of functions, which cannot be written to a file; write the "
            "measurement only, or use one of the operators of this package."
        )


def from_callable(
    apply: Map,
    transpose: Map,
    in_shape: Shape,
    out_shape: Shape,
    *,
    tol: float = 1e-5,
    max_iter: int = 300,
) -> CallableOperator:
    """Make an operator from two functions of torch tensors.

    Args:
        apply: ``A``: ``(batch, *in_shape)`` to ``(batch, *out_shape)``, real, linear.
        transpose: ``A^T``: ``(batch, *out_shape)`` to ``(batch, *in_shape)``.
        in_shape: Image shape ``(channel, *space)``.
        out_shape: Measurement shape.
        tol: Relative residual of the normal equations at which the pseudo-inverse stops.
        max_iter: Maximum number of iterations of the pseudo-inverse.

    Raises:
        ValueError: If the functions are not linear, not transposes, or give other shapes.
    """
    return CallableOperator(
        apply, transpose, tuple(in_shape), tuple(out_shape), tol=tol, max_iter=max_iter
    )


def from_deepinv(physics: Any, in_shape: Shape, *, tol: float = 1e-5) -> CallableOperator:  # noqa: ANN401
    """Make an operator from a linear physics of deepinv, without its noise.

    Its parameters must be the same for the whole batch: make one operator per element and join
    them with :func:`uqrestore.operators.mix` otherwise.

    Args:
        physics: An object with ``A`` and ``A_adjoint`` on real tensors with one batch dimension.
        in_shape: Image shape ``(channel, *space)``.
        tol: Relative residual of the normal equations at which the pseudo-inverse stops.

    Raises:
        ValueError: If ``A`` and ``A_adjoint`` are not transposes of one another.
    """
    measured = physics.A(torch.zeros(1, *in_shape))
    require(
        isinstance(measured, Tensor) and not measured.is_complex(),
        type(physics).__name__,
        "must measure one real tensor; complex measurements are two channels (real, imaginary), "
        "lists of measurements go through Stacked.",
    )
    return CallableOperator(
        physics.A,
        physics.A_adjoint,
        tuple(in_shape),
        tuple(measured.shape[1:]),
        source=type(physics).__name__,
        tol=tol,
    )


def to_deepinv(operator: LinearOperator) -> Any:  # noqa: ANN401 - a deepinv physics
    """Make a linear physics of deepinv, whose ``A_dagger`` is :meth:`LinearOperator.pinv`.

    The batch of an operator that is itself a batch is the batch dimension of deepinv.

    Raises:
        ImportError: If deepinv is not installed.
    """
    try:
        from deepinv.physics import LinearPhysics  # type: ignore[import-not-found]
    except ImportError as error:
        raise ImportError("to_deepinv needs deepinv: pip install deepinv.") from error

    class Wrapped(LinearPhysics):
        def A(self, x: Tensor, **_: Any) -> Tensor:  # noqa: ANN401 - names of deepinv
            return operator(x)

        def A_adjoint(self, y: Tensor, **_: Any) -> Tensor:  # noqa: ANN401
            return operator.adjoint(y)

        def A_dagger(self, y: Tensor, **_: Any) -> Tensor:  # noqa: ANN401
            return operator.pinv(y)

    return Wrapped()
