"""Linear operators: a map, its adjoint, its pseudo-inverse, and their effect on noise."""

import abc
import functools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.operators._arrays import Array, as_real
from uqrestore.operators._cg import conjugate_gradient, expand_to, inner, safe_scale
from uqrestore.operators._checks import Index, Shape
from uqrestore.operators._value import SHARED as SHARED
from uqrestore.operators._value import TensorValue
from uqrestore.operators.spectrum import SolveInfo, Spectrum


class LinearOperator(TensorValue["LinearOperator"]):
    r"""A real linear map :math:`A` from images to measurements, as a frozen value.

    Shapes: images ``(*batch, *problem, *in_shape)``, measurements ``(*batch, *problem,
    *out_shape)``. ``problem`` is the operator's own batch, of different parameters; any dimensions
    may precede it: posterior samples, or the activations of a network. Complex images are two
    real channels (real, imaginary), so every operator is real and has one kind of adjoint.

    Subclasses are frozen dataclasses of tensors, whose leading dimensions are ``problem``
    (unless their field says ``metadata=SHARED``), and of plain values; NumPy arrays are converted.

    Attributes:
        name: Name in the registry.
        shapes: ``in_shape -> out_shape``, as text.
        axes: Names of the axes of a measurement in a file; none if they are only numbered.
        exact_pinv: Whether :meth:`pinv` is a closed form, exact to rounding.
        in_shape: Image shape without batch, ``(channel, *space)``.
        out_shape: Measurement shape without batch.
        problem_shape: ``()`` for one operator, ``(b,)`` for a batch of them.
    """

    name: ClassVar[str]
    shapes: ClassVar[str]
    axes: ClassVar[tuple[str, ...]] = ()
    exact_pinv: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def in_shape(self) -> Shape: ...

    @property
    @abc.abstractmethod
    def out_shape(self) -> Shape: ...

    @abc.abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(*batch, *problem, *in_shape)`` to measurements."""

    @abc.abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transpose: ``<A x, y> == <x, A^T y>`` for all x, y."""

    def normal(self, x: Tensor) -> Tensor:
        """Apply ``A^T A`` to images, in one go where that is cheaper than one after the other."""
        return self.adjoint(self(x))

    @abc.abstractmethod
    def pinv(self, y: Tensor) -> Tensor:
        """Return the minimum-norm least-squares image of ``y``."""

    @property
    def row_mask(self) -> Tensor | None:
        """Boolean, broadcastable to ``(*problem, *out_shape)``: False where ``y`` is padding.

        None means that every entry of ``y`` is a measurement. Padding is exactly 0 in
        :meth:`forward` and ignored by :meth:`adjoint` and :meth:`pinv`.
        """
        return None

    @property
    def singular_value(self) -> float | None:
        """The one nonzero singular value, where all of them are equal over the whole batch."""
        return None

    def spectral(self) -> Spectrum | None:
        """Return the singular value decomposition, or None where there is no cheap one."""
        return None

    def __call__(self, x: Array) -> Tensor:
        """Map images to measurements after checking their shape; numpy arrays are converted."""
        want = self._wanted
        if not isinstance(x, Tensor):
            x = as_real(x, self.in_shape)
        if x.shape[-len(want) :] != want or not x.is_floating_point():
            check_shape(self, x)
        return self.forward(x)

    @functools.cached_property
    def _wanted(self) -> Shape:
        return (*self.problem_shape, *self.in_shape)

    def row_part(self, x: Tensor) -> Tensor:
        """Project images onto the row space: ``A^+ A x``, the part that is measured."""
        return self.pinv(self(x))

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return :math:`x - A^+(A x - y)`, the nearest image consistent with ``y``."""
        return x - self.pinv(self(x) - y)

    def solve(
        self,
        y: Tensor,
        *,
        noise_std: float | int | Tensor | None = None,
        tol: float = 1e-6,
        max_iter: int = 200,
    ) -> tuple[Tensor, SolveInfo]:
        r"""Invert a measurement and report the residual.

        Without ``noise_std``, the pseudo-inverse. With it, the Wiener estimate under a prior of
        zero mean and unit variance, :math:`A^T (A A^T + \sigma^2 I)^{-1} y`, which never
        amplifies noise by more than :math:`1 / 2\sigma`.

        Args:
            y: Measurement, shape ``(*batch, *problem, *out_shape)``.
            noise_std: Standard deviation of the noise in the units of ``y``; one value, or one
                per problem.
            tol: Relative residual at which an iterative solver stops; ignored by closed forms.
            max_iter: Maximum number of iterations of an iterative solver.

        Returns:
            The image, and the residual, iterations and rank.
        """
        check_measurement(self, y)
        variance = _variance(self, noise_std, y)
        scale = safe_scale(y, len(self.out_shape))
        y, iterations = y / expand_to(scale, len(self.out_shape)), 0
        if noise_std is None and self.exact_pinv:
            x = self.pinv(y)
        elif (spectrum := self.spectral()) is not None:
            power = spectrum.s.to(y.dtype) ** 2 + variance[..., None]
            weight = torch.where(spectrum.s > 0, spectrum.s.to(y.dtype) / power, 0)
            x = spectrum.v(weight * spectrum.ut(y))
        else:
            x, iterations = self._solve_normal(y, variance, tol, max_iter)
        info = SolveInfo(self._residual(x, y, variance), iterations, self.rank())
        return x * expand_to(scale, len(self.in_shape)), info

    def measured_rows(self) -> Tensor:
        """Count the entries of ``y`` that are measurements, ``(*problem,)``; padding is not."""
        shape = (*self.problem_shape, *self.out_shape)
        if self.row_mask is None:
            rows = torch.ones(shape, dtype=torch.float64, device=self.device)
        else:
            rows = self.row_mask.double().expand(shape)
        return rows.flatten(len(self.problem_shape)).sum(-1)

    def rank(self) -> Tensor | None:
        """Return the number of singular values kept, ``(*problem,)``; None where it is unknown."""
        spectrum = self.spectral()
        return None if spectrum is None else (spectrum.s > 0).sum(-1)

    def noise_gain(self) -> Tensor:
        r"""Return the factor by which :meth:`pinv` amplifies white measurement noise.

        .. math:: g = \|A^+\|_F / \sqrt{\mathrm{rank} A}

        the root mean square, over the measured directions, of the standard deviation of ``pinv(n)``
        for white ``n`` of unit variance; shape ``(*problem,)``. Computed from the spectrum where
        there is one, else estimated from eight fixed probes to a few percent.
        """
        spectrum = self.spectral()
        if spectrum is not None:
            kept = spectrum.s > 0
            inverse = torch.where(kept, 1 / torch.where(kept, spectrum.s, 1), 0)
            return (inverse.square().sum(-1) / kept.sum(-1).clamp(min=1)).sqrt()
        shape = (8, *self.problem_shape, *self.out_shape)
        n = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        n = n.to(self.device, self.dtype)
        if self.row_mask is not None:
            n = n * self.row_mask
        x = self.pinv(n)
        power = inner(x, x, len(self.in_shape)).mean(0)
        rank = inner(n, self.forward(x), len(self.out_shape)).mean(0)
        return (power / rank.clamp(min=1)).sqrt()

    def __matmul__(self, other: "LinearOperator") -> "LinearOperator":
        """Return the composition ``x -> self(other(x))``."""
        from uqrestore.operators.algebra import Composed

        if not isinstance(other, LinearOperator):
            return NotImplemented  # a nonlinear operator composes from its side
        return Composed((self, other))

    def __getitem__(self, index: Index) -> "LinearOperator":
        return self.select(index)

    def _solve_normal(
        self, y: Tensor, variance: Tensor, tol: float, max_iter: int
    ) -> tuple[Tensor, int]:
        """Solve ``(A^T A + variance) x = A^T y`` by conjugate gradients."""
        shift = expand_to(variance, len(self.in_shape))
        return conjugate_gradient(
            lambda p: self.adjoint(self.forward(p)) + shift * p,
            self.adjoint(y),
            dims=len(self.in_shape),
            start=self._start(y, variance),
            tol=tol,
            max_iter=max_iter,
        )

    def _start(self, y: Tensor, variance: Tensor) -> Tensor | None:  # noqa: ARG002 - for overrides
        """Return a start in the range of ``A^T``, which keeps the limit that of minimum norm."""
        return None

    def _residual(self, x: Tensor, y: Tensor, variance: Tensor) -> Tensor:
        dims = len(self.in_shape)
        b = self.adjoint(y)
        r = b - self.adjoint(self.forward(x)) - expand_to(variance, dims) * x
        scale = inner(b, b, dims)
        return torch.where(scale > 0, inner(r, r, dims) / scale.clamp(min=1e-300), 0).sqrt()


def check_shape(operator: LinearOperator, x: Tensor) -> None:
    """Raise if ``x`` is not a real image of the operator's shape and batch.

    Raises:
        ValueError: If the last dimensions do not match, or ``x`` is not floating-point.
    """
    want = operator._wanted
    if tuple(x.shape[-len(want) :]) != want:
        raise ValueError(
            f"{type(operator).__name__} acts on images of shape (*batch, "
            f"{', '.join(map(str, want))}) but got {tuple(x.shape)}. Leading dimensions are "
            f"free; the last {len(want)} must match. Was the channel dimension dropped?"
        )
    if not x.is_floating_point():
        raise ValueError(
            f"{type(operator).__name__} acts on real floating-point images but got {x.dtype}; "
            "write complex images as two channels (real, imaginary)."
        )


def check_measurement(operator: LinearOperator, y: Tensor) -> None:
    """Raise if ``y`` is not a measurement of the operator's shape and batch."""
    want = (*operator.problem_shape, *operator.out_shape)
    if tuple(y.shape[y.ndim - len(want) :]) != want:
        raise ValueError(
            f"{type(operator).__name__} measures (*batch, {', '.join(map(str, want))}) but got "
            f"{tuple(y.shape)}."
        )


def stack_operators(operators: Sequence[LinearOperator]) -> LinearOperator:
    """Join operators of one kind into a batch; problem ``i`` is row ``i`` of the batch.

    Operators that are themselves batches are joined along their problem axis. For different
    kinds in one batch see :class:`uqrestore.operators.Mixed`.

    Raises:
        ValueError: If there are none, or they differ in kind, shape or plain parameters.
    """
    if not operators:
        raise ValueError("stack_operators needs at least one operator, got none.")
    kind = type(operators[0])
    others = sorted({type(operator).name for operator in operators} - {kind.name})
    if others:
        raise ValueError(
            f"stack_operators joins operators of one kind but got {kind.name} and "
            f"{', '.join(others)}; use Mixed for a batch of different kinds."
        )
    return kind.concatenate(operators)


def _variance(
    operator: LinearOperator, noise_std: float | int | Tensor | None, y: Tensor
) -> Tensor:
    std = 0.0 if noise_std is None else noise_std
    variance = torch.as_tensor(std, dtype=y.dtype, device=y.device) ** 2
    if variance.ndim and tuple(variance.shape) != operator.problem_shape:
        raise ValueError(
            f"{type(operator).__name__}: noise_std must be one value or one per problem, shape "
            f"{operator.problem_shape}, but got {tuple(variance.shape)}."
        )
    return variance
