"""Regularised least squares by sigpy: operators, arrays and units in the form that it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators import LinearOperator
from uqrestore.problem import Problem

POWER_ITERATIONS = 20
MARGIN = 1.05
"""Of the largest eigenvalue over its estimate, which power iterations reach from below."""


@dataclass(frozen=True, eq=False)
class LeastSquares:
    r"""The data term :math:`\tfrac{1}{2} \|A x - y\|^2` of one problem, for sigpy.

    Scaled so that :math:`A^T A` has the largest eigenvalue 1 and the image is about 1 at its
    brightest, which step sizes rely on. Images and samples are complex arrays, those of real
    images with an imaginary part of 0.

    Attributes:
        sp: The module.
        linop: The scaled operator as sigpy's ``Linop``.
        y: The scaled measurement.
        weight: Factor from the weight of a penalty to that of the scaled problem.
    """

    sp: Any
    linop: Any
    y: np.ndarray
    weight: float

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an image as an array."""
        return tuple(self.linop.ishape)

    def minimise(self, **options: Any) -> np.ndarray:  # noqa: ANN401 - those of sigpy's app
        """Return the minimiser that ``sigpy.app.LinearLeastSquares`` finds from a black image."""
        start = np.zeros(self.image_shape, self.y.dtype)
        app = self.sp.app.LinearLeastSquares
        return app(self.linop, self.y, x=start, show_pbar=False, **options).run()


def minimise_each(
    baseline: str,
    problem: Problem,
    minimiser: Callable[[LeastSquares, Problem], np.ndarray],
) -> Float[Tensor, "*problem channel row column"]:
    """Return the images of a batch of problems, each solved by itself in float32.

    Args:
        baseline: Its name, for errors.
        problem: One problem or a batch.
        minimiser: Of the scaled data term of one problem and a penalty.

    Raises:
        ImportError: If sigpy is not installed.
        ValueError: If images are not two-dimensional.
    """
    if problem.problem_shape:
        each = range(problem.problem_shape[0])
        return torch.stack([minimise_each(baseline, problem.select(i), minimiser) for i in each])
    operator, sp = problem.operator, _library(baseline)
    if len(operator.in_shape) != 3:
        raise ValueError(
            f"{baseline} reconstructs images (channel, row, column) but {operator.name} acts on "
            f"{operator.in_shape}."
        )
    y = problem.y.detach().float().cpu()
    with torch.no_grad():
        largest = largest_eigenvalue(operator)
        bright = float(operator.adjoint(y).abs().max()) / largest or 1.0
        linop = _linop(operator, largest**-0.5, sp)
        data = _array(y / (bright * largest**0.5), operator)
        found = minimiser(LeastSquares(sp, linop, data, 1 / (largest * bright)), problem)
        return bright * _tensor(found, operator.in_shape, operator)


def largest_eigenvalue(operator: LinearOperator) -> float:
    """Return an upper estimate of the largest eigenvalue of ``A^T A`` of a single operator."""
    x = torch.randn(operator.in_shape, generator=torch.Generator().manual_seed(0))
    size = 1.0
    for _ in range(POWER_ITERATIONS):
        x = operator.adjoint(operator.forward(x / max(float(x.norm()), 1e-30)))
        size = float(x.norm())
    return MARGIN * size or 1.0


def is_complex(operator: LinearOperator) -> bool:
    """Return True if an operator measures k-space of complex images."""
    return operator.axes[:1] == ("ri",) and operator.in_shape[0] == 2


def _library(baseline: str) -> Any:  # noqa: ANN401 - a module
    try:
        import sigpy
    except ImportError as error:
        raise ImportError(f"{baseline} needs sigpy: pip install 'uqrestore[mri]'.") from error
    return sigpy


def _array(values: Tensor, operator: LinearOperator) -> np.ndarray:
    """Return an image or a measurement as sigpy takes it: complex, without an axis of length 1.

    Real values too, for sigpy's thresholds are compiled for the type that they see first.
    """
    if is_complex(operator):
        return torch.view_as_complex(values.movedim(0, -1).contiguous()).numpy()
    return values.squeeze(0).numpy().astype(np.complex64)


def _tensor(values: np.ndarray, shape: tuple[int, ...], operator: LinearOperator) -> Tensor:
    """Return an array as a tensor of real channels."""
    found = torch.from_numpy(np.ascontiguousarray(values, np.complex64))
    channels = torch.view_as_real(found).movedim(-1, 0) if is_complex(operator) else found.real
    return channels.reshape(shape).contiguous()


def _linop(operator: LinearOperator, scale: float, sp: Any) -> Any:  # noqa: ANN401 - of sigpy
    shapes = operator.in_shape, operator.out_shape
    image, data = (_array(torch.empty(shape), operator).shape for shape in shapes)

    class Forward(sp.linop.Linop):
        def __init__(self) -> None:
            super().__init__(data, image)

        def _apply(self, x: np.ndarray) -> np.ndarray:
            channels = _tensor(x, operator.in_shape, operator)
            return _array(scale * operator.forward(channels), operator)

        def _adjoint_linop(self) -> Any:  # noqa: ANN401
            return Adjoint()

    class Adjoint(sp.linop.Linop):
        def __init__(self) -> None:
            super().__init__(image, data)

        def _apply(self, y: np.ndarray) -> np.ndarray:
            channels = _tensor(y, operator.out_shape, operator)
            return _array(scale * operator.adjoint(channels), operator)

        def _adjoint_linop(self) -> Any:  # noqa: ANN401
            return Forward()

    return Forward()
