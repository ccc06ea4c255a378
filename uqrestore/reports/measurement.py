"""Operator and noise of a posterior file, applied to its images: of any kind."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float64

from uqrestore.noise import Gaussian, NoiseModel
from uqrestore.operators import LinearOperator
from uqrestore.operators.nonlinear import NonlinearOperator, UncertainOperator
from uqrestore.operators.nonlinear.base import jvp
from uqrestore.posterior import read_operator
from uqrestore.posterior.parameters import NOISE_STD
from uqrestore.posterior.view import COORDINATES
from uqrestore.reports.contents import Contents

Images = Float[np.ndarray, "z channel y x"]


@dataclass(frozen=True, eq=False)
class Measurement:
    """How the slices of a file were measured.

    Attributes:
        operator: One for all slices, or a batch.
        noise: Noise model; None where it is Gaussian behind a linear operator.
        theta: Draws of the coordinates of the parameters, (draw, z, coordinate); None where all is
            known.
        noise_std: Draws of the noise level, (draw, z); None where it is known.
    """

    operator: LinearOperator | NonlinearOperator
    noise: NoiseModel | None
    theta: Float[np.ndarray, "draw z coordinate"] | None
    noise_std: Float[np.ndarray, "draw z"] | None

    @classmethod
    def of(cls, contents: Contents) -> "Measurement":
        """Read the measurement of a file."""
        file = contents.file
        found = [file.find(f"parameters/{name}") for name in (COORDINATES, NOISE_STD)]
        theta, std = (None if v is None else v.isel(chain=0).values for v in found)
        return cls(read_operator(file.path), file.noise_model(), theta, std)

    def select(self, rows: Float[np.ndarray, " z"] | np.ndarray) -> "Measurement":
        """Return the measurement of some slices of the file."""
        operator = self.operator
        return replace(
            self,
            operator=operator.select(rows.tolist()) if operator.problem_shape else operator,
            theta=None if self.theta is None else self.theta[:, rows],
            noise_std=None if self.noise_std is None else self.noise_std[:, rows],
        )

    def signal(self, images: Images, draw: int | None = None) -> Float64[np.ndarray, "z ..."]:
        """Measure images without noise, with the parameters of a draw or with their mean."""
        x = torch.as_tensor(np.ascontiguousarray(images, np.float32))
        if self.theta is None or not isinstance(self.operator, UncertainOperator):
            return self.operator(x).double().numpy()
        theta = np.nanmean(self.theta, axis=0) if draw is None else self.theta[draw]
        return self.operator.forward_at(x, torch.as_tensor(theta).float()).double().numpy()

    def misfit(
        self, images: Images, y: Float64[np.ndarray, "z ..."], draw: int | None = None
    ) -> Float64[np.ndarray, "z ..."]:
        """Return the misfit of every entry, in units of the noise where that is a noise model."""
        signal = self.signal(images, draw)
        away = signal - y
        if self.noise is None:
            return away
        square = self._noise(draw).chi_square(torch.as_tensor(y), torch.as_tensor(signal))
        return np.sign(away) * square.clamp(min=0).sqrt().numpy()

    def change(self, images: Images, step: Images) -> Float64[np.ndarray, "z ..."]:
        """Return the change of :meth:`misfit` by a small step from images, to first order."""
        x, v = (torch.as_tensor(np.ascontiguousarray(a, np.float32)) for a in (images, step))
        moved = jvp(self.operator, x, v).double()
        if self.noise is None:
            return moved.numpy()
        signal = torch.as_tensor(self.signal(images))
        return (self._noise(None).information(signal).sqrt() * moved).numpy()

    def _noise(self, draw: int | None) -> NoiseModel:
        assert self.noise is not None  # as asked before
        if self.noise_std is None:
            return self.noise
        std = np.nanmean(self.noise_std, axis=0) if draw is None else self.noise_std[draw]
        each = torch.as_tensor(std).double()
        return Gaussian(each.reshape(-1, *[1] * len(self.operator.out_shape)))
