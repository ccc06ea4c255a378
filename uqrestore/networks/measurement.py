"""What a network with the operator inside is told about the measurement."""

from dataclasses import dataclass

import torch
from torch import Tensor

from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.problem import Problem


@dataclass(frozen=True, eq=False)
class Measurement:
    """A problem laid out for a flat batch of images.

    Args:
        operator: ``A``.
        y: Measurement ``(*batch, *out_shape)``; the operator's own batch comes last in ``batch``.
        pinv_y: ``A^+ y``, shape ``(flat batch, *in_shape)``.
        noise_std: Standard deviation of the measurement noise, shape ``(flat batch,)``.
    """

    operator: LinearOperator
    y: Tensor
    pinv_y: Tensor
    noise_std: Tensor

    @property
    def batch(self) -> Shape:
        """The unflattened batch."""
        return tuple(self.y.shape[: self.y.ndim - len(self.operator.out_shape)])

    @classmethod
    def of(cls, problem: Problem, batch: Shape) -> "Measurement":
        """Lay out a problem for images of shape ``(*batch, *in_shape)``.

        Raises:
            ValueError: If the batch does not end in the batch of problems.
        """
        own = problem.problem_shape
        if tuple(batch[len(batch) - len(own) :]) != own:
            raise ValueError(
                f"images come in batches of {tuple(batch)} but the problem is a batch of {own}; "
                "the problems must be the last batch dimensions."
            )
        y = problem.y
        pinv_y = problem.operator.pinv(y)
        noise_std = torch.as_tensor(problem.noise_std, dtype=y.dtype, device=y.device)
        return cls(
            problem.operator,
            y.expand(*batch, *problem.operator.out_shape),
            pinv_y.expand(*batch, *problem.in_shape).reshape(-1, *problem.in_shape),
            noise_std.expand(batch).reshape(-1),
        )
