"""Inverse problems with any differentiable operator and any noise model."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from uqrestore.noise import NoiseModel, SampleNoise
from uqrestore.operators._arrays import Array, as_real
from uqrestore.operators._checks import Index, Shape
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.nonlinear.algebra import compose
from uqrestore.operators.nonlinear.base import Linearised, NonlinearOperator
from uqrestore.operators.nonlinear.pointwise import Affine
from uqrestore.problem.linear import Problem, batch_of, check_measured, measurement_noise


@dataclass(frozen=True, eq=False)
class GeneralProblem:
    r"""``y`` distributed about ``f(x)`` as a noise model states.

    :class:`~uqrestore.problem.Problem` is the case of a linear operator and Gaussian noise, which
    every method takes; methods for other cases are ``general`` (``uqrestore list methods``).

    Args:
        operator: ``f``, linear or not.
        y: Measurement, shape ``(*problem, *operator.out_shape)``.
        noise_model: Distribution of ``y`` about ``f(x)``; standard deviations above 0.

    Raises:
        ValueError: If the measurement does not fit the operator or cannot come from the noise.
    """

    operator: LinearOperator | NonlinearOperator
    y: Tensor
    noise_model: NoiseModel

    def __post_init__(self) -> None:
        if not isinstance(self.operator, LinearOperator | NonlinearOperator):
            raise ValueError(
                f"a GeneralProblem needs an operator of uqrestore.operators but got "
                f"{type(self.operator).__name__}."
            )
        if not isinstance(self.noise_model, NoiseModel):
            raise ValueError(
                f"noise_model must be one of uqrestore.noise, such as Gaussian(0.1), but "
                f"got {self.noise_model!r:.40}."
            )
        object.__setattr__(self, "y", as_real(self.y, self.operator.out_shape))
        check_measured(self.operator, self.y)
        self.noise_model.check(self.y if self.row_mask is None else self.y * self.row_mask)

    @classmethod
    def of(cls, problem: "Problem | GeneralProblem") -> "GeneralProblem":
        """Return a linear Gaussian problem as a general one."""
        if isinstance(problem, GeneralProblem):
            return problem
        return cls(problem.operator, problem.y, problem.noise_model)

    @classmethod
    def simulate(
        cls,
        operator: LinearOperator | NonlinearOperator,
        x: Array,
        noise_model: NoiseModel,
        *,
        seed: int = 0,
        noise: SampleNoise | None = None,
    ) -> "GeneralProblem":
        """Measure images ``(*problem, *in_shape)``.

        Args:
            operator: ``f``.
            x: Images in network intensity.
            noise_model: Distribution of the measurement.
            seed: Seed of the noise; its stream differs from those of posterior draws.
            noise: Streams of the noise, one sample wide, instead of a seed.
        """
        signal = operator(as_real(x, operator.in_shape))
        if noise is None:
            noise = measurement_noise(seed, batch_of(operator, signal))
        y = noise_model.simulate(signal[None], noise)[0]
        mask = operator.row_mask
        return cls(operator, y if mask is None else y * mask, noise_model)

    @classmethod
    def from_units(
        cls,
        operator: LinearOperator | NonlinearOperator,
        y: Array,
        low: float | int,
        high: float | int,
        noise_model: NoiseModel,
    ) -> "GeneralProblem":
        """Return the problem of an operator that acts on images in other units.

        Args:
            operator: ``f`` of an image in other units, such as 1/cm.
            y: Measurement.
            low: Image intensity that -1 of the prior stands for, such as that of air.
            high: Image intensity that 1 of the prior stands for.
            noise_model: Distribution of ``y``.
        """
        scaled = compose(operator, Affine(operator.in_shape, low, high))
        return cls(scaled, as_real(y, operator.out_shape), noise_model)

    @property
    def problem_shape(self) -> Shape:
        """Batch shape: ``()`` for one problem, ``(b,)`` for several."""
        return batch_of(self.operator, self.y)

    @property
    def in_shape(self) -> Shape:
        """Shape of one image, ``(channel, *space)``."""
        return self.operator.in_shape

    @property
    def row_mask(self) -> Tensor | None:
        """Entries of ``y`` that are measurements, as of :class:`LinearOperator`."""
        return self.operator.row_mask

    def log_likelihood(self, x: Tensor) -> Tensor:
        """Return ``log p(y | x)`` of images ``(*batch, *problem, *in_shape)``."""
        each = self.noise_model.log_likelihood(self.y, self.operator.forward(x))
        if self.row_mask is not None:
            each = torch.where(self.row_mask, each, 0)
        return each.flatten(each.ndim - len(self.operator.out_shape)).sum(-1)

    def whitened(self, x: Tensor) -> tuple[Linearised, Tensor]:
        """Return Jacobian and score at images, with rows in units of the noise there.

        Rows are divided by the square root of the Fisher information, so that near ``x`` the
        measurement is linear with unit Gaussian noise; those without information are 0.
        """
        signal = self.operator.forward(x)
        root = self.noise_model.information(signal).sqrt()
        seen = root > 0 if self.row_mask is None else (root > 0) & self.row_mask
        score = self.noise_model.score(self.y, signal) / torch.where(seen, root, 1)
        linear = Linearised(self.operator, x, torch.where(seen, root, 0))
        return linear, torch.where(seen, score, 0)

    def linearise(self, x: Tensor) -> Problem:
        r"""Return the linear problem with unit Gaussian noise that this one is near an image.

        .. math:: \tilde A = F^{1/2} J(x), \qquad
            \tilde y = \tilde A x + F^{-1/2} \nabla_s \log p(y \mid s)

        with the Fisher information :math:`F` and the signal :math:`s = f(x)`. It is exact for
        linear operators and Gaussian noise; with counts above some tens, or noise that is small
        beside the curvature of ``f``, it is close for images near ``x``. Parameters of an
        ``UncertainOperator`` are taken at their centre.

        Args:
            x: Images ``(*problem, *in_shape)``, such as an estimate of the posterior mean.
        """
        linear, score = self.whitened(x)
        return Problem(linear, linear.forward(x) + score, 1.0)

    def select(self, index: Index) -> "GeneralProblem":
        """Return some problems of a batch, or one of them."""
        at = index if isinstance(index, int | slice | Tensor) else list(index)
        operator = self.operator
        return GeneralProblem(
            operator.select(index) if operator.problem_shape else operator,
            self.y[at],
            self.noise_model.select(index, len(operator.out_shape)),
        )

    def to(self, target: torch.device | torch.dtype | str) -> "GeneralProblem":
        """Return a copy on a device, or with its numbers in another floating-point type."""
        return replace(
            self,
            operator=self.operator.to(target),
            y=self.y.to(target),
            noise_model=self.noise_model.to(target),
        )
