"""Spectral coordinates of a problem: measured directions, data along them, and their noise."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from uqrestore.problem import Problem


@dataclass(frozen=True, eq=False)
class SpectralData:
    r"""Coordinates in which a measurement is :math:`\bar y = \bar x + w n` with white ``n``.

    Args:
        coefficients: Map from images to coordinates; 0 for unmeasured directions.
        image: Map from coordinates to an image in the measured subspace.
        data: :math:`\bar y`, the coordinates of :math:`A^+ y`.
        width: :math:`w`, the noise level of each coordinate, broadcastable.
    """

    coefficients: Callable[[Tensor], Tensor]
    image: Callable[[Tensor], Tensor]
    data: Tensor
    width: Tensor

    @classmethod
    def of(cls, problem: Problem, method: str) -> "SpectralData":
        r"""Choose coordinates: the image itself where noise is white there, else the spectral form.

        Without noise, or with one nonzero singular value ``s``, coordinates are :math:`A^+ A x` and
        only ``A`` and ``A^+`` are used. Otherwise they are :math:`V^T x`, with
        :math:`w_i = \sigma_y / s_i`.

        Raises:
            ValueError: If the measurement is noisy and the operator has neither form.
        """
        operator, y = problem.operator, problem.y
        noise_std = problem.noise_std_as(y)
        if not problem.is_noisy or operator.singular_value is not None:
            width = noise_std / (operator.singular_value or 1.0)
            width = width.reshape(*width.shape, *[1] * len(operator.in_shape))
            return cls(operator.row_part, _same, operator.pinv(y), width)
        spectrum = operator.spectral()
        if spectrum is None:
            raise ValueError(
                f"{method} restores noisy measurements through singular values, which "
                f"{operator.name} does not offer; choose a method that needs none, such as "
                "'moment_matching', 'local_gaussian' or 'diffpir'."
            )
        s = spectrum.s.to(y.dtype)
        kept = s > 0
        inverse = torch.where(kept, 1 / torch.where(kept, s, 1), 0)
        width = noise_std[..., None] * inverse
        return cls(spectrum.vt, spectrum.v, inverse * spectrum.ut(y), width)


def _same(x: Tensor) -> Tensor:
    return x
