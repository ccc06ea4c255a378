"""Problems of the page on physics: operators, noise and what one might assume instead."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from uqrestore.noise import (
    Gaussian,
    NoiseModel,
    Poisson,
    Rician,
    StudentT,
    UncertainGaussian,
)
from uqrestore.operators import (
    CoilFourier,
    Inpainting,
    LinearOperator,
    MaskedFourier,
    Matrix,
    Radon,
)
from uqrestore.operators.nonlinear import (
    Affine,
    BeerLambert,
    NonlinearOperator,
    Saturation,
    UncertainBlur,
    UncertainGain,
    UncertainMaps,
    UncertainMotion,
    UncertainPhase,
    phase_retrieval,
)
from uqrestore.priors import ClosedForm, GaussianPrior
from uqrestore.priors.dense import matrix_of
from uqrestore.problem import Problem

SHAPE, SCENES = (1, 8, 8), 200
FEW: Mapping[str, Any] = {"levels": 6, "leaps": 2}
"""Options where almost every trajectory is accepted."""
SLOW: Mapping[str, Any] = {
    "leaps": 8,
    "sigmas": [*(20 * 0.05 ** (i / 27) for i in range(28)), 0.3, 0.1, 0.03, 0.0],
}
"""Most levels above the standard deviation of the images, where parameters can move."""
CLIPPED: Mapping[str, Any] = {**SLOW, "leaps": 64, "about": "prior"}
"""Options for values that may be clipped or not, where the model at the mode is too narrow."""
Instead = Callable[[GaussianPrior, Tensor], ClosedForm]


@dataclass(frozen=True)
class Case:
    """One row of the page.

    Attributes:
        title: What is measured, for the table.
        operator: The operator.
        noise: The noise model.
        options: Options of the method besides those of every row.
        instead: Posterior of a linear Gaussian problem that one might solve instead.
        other: Name of that problem.
        scenes: Number of images.
        correlation: Between the channels of the field.
        fitted: Whether ``fitted_gaussian`` draws, as in the pipelines, not ``local_laplace``.
    """

    title: str
    operator: LinearOperator | NonlinearOperator
    noise: NoiseModel
    options: Mapping[str, Any]
    instead: Instead | None = None
    other: str = ""
    scenes: int = SCENES
    correlation: float = 0.8
    fitted: bool = False


def cases() -> dict[str, Case]:
    """Return the rows of the page."""
    return known_operators() | unknown_parameters()


def known_operators() -> dict[str, Case]:
    """Return operators and noise that are known."""
    rays = Radon.sparse_view(SHAPE, views=6).to(torch.float64)
    generator = torch.Generator().manual_seed(0)
    phases = 2 * math.pi * torch.rand(3, *SHAPE[1:], generator=generator, dtype=torch.float64)

    def ct(photons: float) -> Case:
        scaled = Matrix(0.2 * matrix_of(rays), SHAPE)
        flat = scaled(torch.ones(SHAPE, dtype=torch.float64))

        def logarithm(prior: GaussianPrior, y: Tensor) -> ClosedForm:
            counts = y.clamp(min=0.5).flatten(1)
            std = (1 / counts).mean(-1).sqrt()
            return prior.posterior(Problem(scaled, -torch.log(counts / photons) - flat, std))

        operator = BeerLambert(rays.out_shape, photons) @ rays @ Affine(SHAPE, 0.0, 0.4)
        title = f"Poisson CT, 6 views, {photons:g} photons a ray"
        return Case(title, operator, Poisson(), FEW, logarithm, "logarithm, mean variance")

    def assume(std: float, shift: float = 0.0, scale: float = 1.0) -> Instead:
        identity = Matrix(scale * torch.eye(64, dtype=torch.float64), SHAPE)
        return lambda prior, y: prior.posterior(Problem(identity, y.flatten(1) - shift, std))

    return {
        "saturation": Case(
            "saturation: values above 0.4 and below -0.2 clipped, noise 0.1",
            Saturation(SHAPE, -0.2, 0.4),
            Gaussian(0.1),
            CLIPPED,
            assume(0.1),
            "no clipping",
        ),
        "rician": Case(
            "Rician magnitudes of (x + 1) / 2, noise 0.2",
            Affine(SHAPE, 0.0, 1.0),
            Rician(0.2),
            FEW,
            assume(0.2, 0.5, 0.5),
            "Gaussian noise",
        ),
        "student": Case(
            "outliers: Student noise of 3 degrees, scale 0.1",
            Matrix(torch.eye(64, dtype=torch.float64), SHAPE),
            StudentT(0.1, 3.0),
            FEW,
            assume(0.1),
            "Gaussian noise of this scale",
        ),
        "phase": Case(
            "phase retrieval, magnitudes behind 3 coded masks, noise 0.1",
            phase_retrieval(torch.polar(torch.ones_like(phases), phases)),
            Gaussian(0.1),
            {"leaps": 8, "newton": 10, "starts": 8},
        ),
        "ct-30": ct(30.0),
        "ct-1000": ct(1000.0),
    }


def unknown_parameters() -> dict[str, Case]:
    """Return operators and noise with parameters to draw."""
    seen = Inpainting(torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.6)
    half = torch.rand(SHAPE[1:], generator=torch.Generator().manual_seed(1)) < 0.5
    lines = torch.arange(16)[:, None].expand(16, 16)
    scan = MaskedFourier(torch.ones(8, 8, dtype=torch.bool), channels=1)
    centre = (lines >= 4) & (lines < 12)
    coils = CoilFourier(centre | (lines % 4 == 0), surface_coils(8, 16))
    return {
        "gain": Case(
            "gain known to 30 %, 60 % of the pixels, noise 0.05",
            UncertainGain(seen, 1.0, 0.3),
            Gaussian(0.05),
            {"leaps": 2},
        ),
        "blur": Case(
            "blur of 1 pixel, width known to 30 %, noise 0.05",
            UncertainBlur(SHAPE, 1.0, 0.3),
            Gaussian(0.05),
            {"leaps": 2},
        ),
        "noise": Case(
            "noise 0.1, known from 4 values, 60 % of the pixels",
            seen,
            UncertainGaussian(0.1, 4.0),
            {"leaps": 1, "levels": 24},
        ),
        "unknown-phase": Case(
            "quadratic phase, coefficients of 0.5 radian, half of k-space, noise 0.05",
            UncertainPhase(MaskedFourier(half).to(torch.float64), 2, 0.5),
            Gaussian(0.05),
            {"leaps": 4},
        ),
        "motion": Case(
            "2 shots of k-space, shifts of 0.5 pixels, turns of 5 degrees, noise 0.05",
            UncertainMotion(scan.to(torch.float64), torch.arange(8)[:, None] % 2, 0.5, 5.0),
            Gaussian(0.05),
            {"leaps": 2, "moves": 8},
        ),
        "maps": Case(
            "8 coil maps known to 0.1, complex field of 16 x 16, 8 centre lines and 2 more, "
            "`fitted_gaussian` with 24 levels",
            UncertainMaps(coils, 0.1),
            Gaussian(0.05),
            {"levels": 24},
            scenes=48,
            correlation=0.0,
            fitted=True,
        ),
    }


def surface_coils(count: int, side: int) -> Tensor:
    """Return maps of coils around a square field, of unit norm over the coils."""
    at = torch.linspace(-1, 1, side, dtype=torch.float64)
    angle = 2 * math.pi * torch.arange(count, dtype=torch.float64) / count
    down = at[:, None] - 1.3 * angle.sin()[:, None, None]
    across = at - 1.3 * angle.cos()[:, None, None]
    maps = torch.polar(1 / (0.3 + down**2 + across**2), torch.atan2(down, across))
    return maps / torch.linalg.vector_norm(maps, dim=0)
