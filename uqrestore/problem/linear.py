"""Inverse problem: operator, measurement and noise level of one image or a batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from uqrestore.noise import MEASUREMENT_STREAM, Gaussian, SampleNoise
from uqrestore.operators._arrays import Array, as_real
from uqrestore.operators._checks import Index
from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.operators.nonlinear.base import NonlinearOperator


@dataclass(frozen=True, eq=False)
class Problem:
    """``y = A x + noise_std * n`` with ``n`` unit Gaussian.

    Args:
        operator: ``A``; a batch of operators makes a batch of problems.
        y: Measurement, shape ``(*problem, *operator.out_shape)``, in network intensity. Arrays of
            numpy are converted, and complex values to two real channels.
        noise_std: Standard deviation of the measurement noise in the units of ``y`` (per real
            component where ``y`` is complex); one value, or one per problem.

    Raises:
        ValueError: If ``y`` does not fit the operator, or either holds NaN or infinity, or
            ``noise_std`` is negative.
    """

    operator: LinearOperator
    y: Tensor
    noise_std: float | Tensor = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", as_measurement(self.operator, self.y))
        check_measured(self.operator, self.y)
        noise_std = torch.as_tensor(self.noise_std)
        if not (torch.isfinite(noise_std) & (noise_std >= 0)).all():
            raise ValueError(f"noise_std must be finite and at least 0, got {self.noise_std}.")

    @classmethod
    def from_units(
        cls,
        operator: LinearOperator,
        y: Array,
        low: float,
        high: float,
        noise_std: float | Tensor = 0.0,
    ) -> "Problem":
        r"""Return the problem of a measurement in other units, such as those of a scanner.

        .. math:: y_{net} = (y - A(s)) / c, \qquad s = (high + low) / 2, \ c = (high - low) / 2

        because the intensity map :math:`x = s + c\, x_{net}` is affine and the operator linear.
        Draws return to these units as ``low + (draws + 1) / 2 * (high - low)``.

        Args:
            operator: ``A``.
            y: Measurement of an image in other units.
            low: Image intensity that -1 of the prior stands for, such as that of air.
            high: Image intensity that 1 of the prior stands for.
            noise_std: Standard deviation of the noise in the units of ``y``.

        Raises:
            ValueError: If ``low`` is not below ``high``, or as :class:`Problem`.
        """
        if not low < high:
            raise ValueError(f"low must be below high, got low={low} and high={high}.")
        given = cls(operator, as_measurement(operator, y), noise_std)
        shift, scale = (high + low) / 2, (high - low) / 2
        offset = operator(given.y.new_full((*operator.problem_shape, *given.in_shape), shift))
        return cls(operator, (given.y - offset) / scale, noise_std / scale)

    @property
    def problem_shape(self) -> Shape:
        """Batch shape: ``()`` for one problem, ``(b,)`` for several."""
        return batch_of(self.operator, self.y)

    @property
    def in_shape(self) -> Shape:
        """Shape of one image, ``(channel, *space)``."""
        return self.operator.in_shape

    @property
    def noise_model(self) -> Gaussian:
        """The noise as a model whose parameter broadcasts against measurements."""
        return Gaussian(self.noise_std_like(self.y))

    @property
    def is_noisy(self) -> bool:
        """True if any problem of the batch has measurement noise."""
        return bool((torch.as_tensor(self.noise_std) > 0).any())

    def noise_std_as(self, like: Tensor) -> Tensor:
        """Return ``noise_std``, () or ``(*problem,)``, with the type and device of ``like``."""
        return torch.as_tensor(self.noise_std, dtype=like.dtype, device=like.device)

    def noise_std_like(self, y: Tensor) -> Tensor:
        """Return ``noise_std`` as a tensor that broadcasts against ``(*problem, *out_shape)``."""
        noise_std = self.noise_std_as(y)
        return noise_std.reshape(*noise_std.shape, *[1] * len(self.operator.out_shape))

    def chi_square(self, x: Tensor) -> Tensor:
        r"""Return :math:`\|A x - y\|^2 / (n \sigma^2)` of images, with ``n`` real measurements.

        About 1 for the true image and for posterior draws; 0 for noise-free problems.

        Args:
            x: Images ``(*batch, *problem, *in_shape)``.

        Returns:
            Values in double precision, ``(*batch, *problem)``.
        """
        gap = (self.operator(x) - self.y).flatten(-len(self.operator.out_shape)).double()
        noise_std = self.noise_std_as(gap)
        rows = self.operator.measured_rows().to(gap)
        chi_square = gap.square().sum(-1) / noise_std.square().clamp(min=1e-300) / rows
        return torch.where(noise_std > 0, chi_square, 0)

    def project(self, x: Tensor) -> Tensor:
        """Project images ``(*batch, *problem, *in_shape)`` onto the noise-free measurements.

        Images of noisy problems are returned unchanged.
        """
        noise_free = self._noise_free(x)
        if not noise_free.any():
            return x
        return torch.where(noise_free, self.operator.project(x, self.y), x)

    def project_null(self, x: Tensor) -> Tensor:
        """Project images onto the null space of noise-free measurements: ``x - A^+ A x``.

        There the posterior has a width; images of noisy problems are returned unchanged. Shapes
        are those of :meth:`project`.
        """
        noise_free = self._noise_free(x)
        if not noise_free.any():
            return x
        return torch.where(noise_free, x - self.operator.row_part(x), x)

    def _noise_free(self, x: Tensor) -> Tensor:
        """Return which problems are noise-free, to broadcast against images."""
        noise_std = torch.as_tensor(self.noise_std, device=x.device)
        return (noise_std == 0).reshape(*noise_std.shape, *[1] * len(self.in_shape))

    def select(self, index: Index) -> "Problem":
        """Return some problems of a batch, or one of them."""
        at = index if isinstance(index, int | slice | Tensor) else list(index)
        each = isinstance(self.noise_std, Tensor) and self.noise_std.ndim > 0
        return Problem(
            self.operator.select(index) if self.operator.problem_shape else self.operator,
            self.y[at],
            self.noise_std[at] if each else self.noise_std,  # type: ignore[index]
        )

    def to(self, target: torch.device | torch.dtype | str) -> "Problem":
        """Return a copy on a device, or with its numbers in another floating-point type."""
        noise_std = self.noise_std
        if isinstance(noise_std, Tensor):
            noise_std = noise_std.to(target)
        return Problem(self.operator.to(target), self.y.to(target), noise_std)


def batch_of(operator: LinearOperator | NonlinearOperator, y: Tensor) -> Shape:
    """Return the batch shape of measurements: ``()`` for one problem, ``(b,)`` for several."""
    return tuple(y.shape[: y.ndim - len(operator.out_shape)])


def measurement_noise(seed: int, batch: Shape) -> SampleNoise:
    """Return the streams of measurement noise, which differ from those of posterior draws."""
    return SampleNoise(seed, [MEASUREMENT_STREAM], slices=range(batch[0]) if batch else 0)


def check_measured(operator: LinearOperator | NonlinearOperator, y: Tensor) -> None:
    """Raise unless ``y`` is a finite measurement, ``(*problem, *operator.out_shape)``."""
    want, batch = operator.out_shape, batch_of(operator, y)
    if tuple(y.shape[y.ndim - len(want) :]) != want:
        raise ValueError(
            f"the measurement y has shape {tuple(y.shape)} but {operator.name} "
            f"measures (*problem, {', '.join(map(str, want))})."
        )
    if operator.problem_shape not in ((), batch):
        raise ValueError(
            f"{operator.name} is a batch of {operator.problem_shape[0]} operators "
            f"but the measurement y has shape {tuple(y.shape)}, the batch "
            f"{batch}; give one measurement per operator."
        )
    if not torch.isfinite(y).all():
        bad = int((~torch.isfinite(y)).sum())
        raise ValueError(
            f"the measurement y of {operator.name} holds {bad} values that are NaN or "
            "infinite; mask them out of the operator instead of passing them on."
        )


def as_measurement(operator: LinearOperator, y: Array) -> Tensor:
    """Return a measurement of an operator as a real tensor; see ``operators._arrays.as_real``.

    Raises:
        ValueError: If the operator is not a ``LinearOperator``.
    """
    if isinstance(operator, NonlinearOperator):
        raise ValueError(
            f"a Problem needs a linear operator but {operator.name} is not linear; write "
            "GeneralProblem(operator, y, noise_model)."
        )
    if not isinstance(operator, LinearOperator):
        raise ValueError(
            f"a Problem needs an operator of uqrestore.operators but got "
            f"{type(operator).__name__}; write Problem(operator, y), and from_callable for an "
            "operator made of functions."
        )
    return as_real(y, operator.out_shape)


def simulate(
    operator: LinearOperator,
    x: Array,
    *,
    noise_std: float | Tensor = 0.0,
    seed: int | None = None,
    noise: SampleNoise | None = None,
) -> Problem:
    """Measure images: ``y = A x + noise_std * n`` on the rows that the operator measures.

    Args:
        operator: ``A``.
        x: Images, shape ``(*problem, *operator.in_shape)``, in network intensity. Arrays of numpy
            are converted, and complex values to two real channels.
        noise_std: Standard deviation of the measurement noise, in the units of ``A x``.
        seed: Seed of the noise; its stream differs from those of posterior draws of the same seed.
        noise: Streams of the noise, one sample wide, instead of a seed.

    Raises:
        ValueError: If noise is wanted but neither seed nor streams are given.
    """
    y = operator(as_real(x, operator.in_shape))
    problem = Problem(operator, y, noise_std)
    if not problem.is_noisy:
        return problem
    if noise is None and seed is not None:
        noise = measurement_noise(seed, problem.problem_shape)
    if noise is None:
        raise ValueError("simulate needs a seed=0, or noise=SampleNoise(...), for noise_std > 0.")
    drawn = problem.noise_std_like(y) * noise.like(y[None])[0]
    if operator.row_mask is not None:
        drawn = drawn * operator.row_mask
    return Problem(operator, y + drawn, noise_std)
