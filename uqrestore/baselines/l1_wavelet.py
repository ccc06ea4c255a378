"""Compressed sensing with an l1 penalty on wavelet coefficients."""

from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from uqrestore.baselines._sigpy import LeastSquares, minimise_each
from uqrestore.baselines.weights import Weight, chosen_weight
from uqrestore.problem import Problem

AXES = (-2, -1)
LARGEST_SHIFT = 32
"""Pixels up to which the wavelets are shifted: the period of five levels."""


def l1_wavelet(
    problem: Problem,
    *,
    weight: Weight = None,
    iterations: Annotated[int, Field(ge=1)] = 100,
    wavelet: Literal["haar", "db2", "db4"] = "db2",
    shifts: bool = True,
) -> Float[Tensor, "*problem channel row column"]:
    r"""Reconstruct with few wavelet coefficients, by sigpy's FISTA.

    .. math:: \min_x \tfrac{1}{2} \|A x - y\|_2^2 + \lambda \|W x\|_1

    With ``shifts`` the wavelets are moved at random in every iteration, as in ``bart pics -R W``,
    which removes their blocks; without them, and with ``db4``, this is
    ``sigpy.mri.app.L1WaveletRecon``. Coefficients of complex images are complex, and shrink in
    magnitude.

    Args:
        problem: Any linear measurement of images.
        weight: :math:`\lambda` in the units of :math:`A^T y`; None takes
            :func:`~uqrestore.baselines.weights.default_weight`.
        iterations: Iterations of FISTA.
        wavelet: Daubechies wavelet; ``db2`` has four taps.
        shifts: Move the wavelets at random in every iteration; the moves are always the same.

    Raises:
        ImportError: If sigpy is not installed (extra ``mri``).
        ValueError: If images are not two-dimensional.

    References:
        Lustig, Donoho & Pauly, "Sparse MRI", Magn. Reson. Med. 58:1182-1195, 2007;
        Figueiredo & Nowak, "An EM Algorithm for Wavelet-Based Image Restoration", IEEE Trans.
        Image Process. 12:906-916, 2003 (random shifts).
    """

    def minimiser(fit: LeastSquares, one: Problem) -> np.ndarray:
        shrink_by = fit.weight * chosen_weight("l1_wavelet", one, weight)
        transform = fit.sp.linop.Wavelet(fit.image_shape, axes=AXES, wave_name=wavelet)
        inner = fit.sp.prox.L1Reg(transform.oshape, shrink_by)
        shrink = fit.sp.prox.UnitaryTransform(inner, transform)
        rng = np.random.default_rng(0)

        def shrink_shifted(step: float, x: np.ndarray) -> np.ndarray:
            by = rng.integers(0, LARGEST_SHIFT, 2)
            return np.roll(shrink(step, np.roll(x, by, AXES)), -by, AXES)

        proximal = shrink_shifted if shifts else shrink
        return fit.minimise(proxg=proximal, alpha=1.0, max_iter=iterations)

    return minimise_each("l1_wavelet", problem, minimiser)
