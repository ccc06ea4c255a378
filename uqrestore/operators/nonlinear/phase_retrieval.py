"""Phase retrieval: magnitudes of oversampled or coded Fourier transforms."""

import torch
from jaxtyping import Complex
from torch import Tensor

from uqrestore.operators._checks import Shape
from uqrestore.operators.coil_fourier import CoilFourier
from uqrestore.operators.embedding import Embedding
from uqrestore.operators.masked_fourier import MaskedFourier
from uqrestore.operators.nonlinear.algebra import compose
from uqrestore.operators.nonlinear.base import NonlinearOperator
from uqrestore.operators.nonlinear.pointwise import Magnitude


def magnitude_fourier(
    shape: Shape, *, oversampling: float | int = 2.0, squared: bool = False
) -> NonlinearOperator:
    r"""Magnitudes of the Fourier transform of a real image, zero-padded to a larger field.

    They are the same for :math:`\pm x`, for the image turned by 180 degrees, and for shifts that
    stay in the field.

    Args:
        shape: Shape of the image, ``(1, row, column)``.
        oversampling: Side of the field over that of the image.
        squared: Measure intensities instead.
    """
    rows, columns = (round(oversampling * side) for side in shape[-2:])
    top, left = (rows - shape[-2]) // 2, (columns - shape[-1]) // 2
    padded = Embedding(shape, field_shape=(rows, columns), offset=(top, left))
    fourier = MaskedFourier(torch.ones(rows, columns, dtype=torch.bool), channels=1)
    return compose(Magnitude(fourier.out_shape, squared=squared), fourier, padded)


def phase_retrieval(
    masks: Complex[Tensor, "mask row column"], *, squared: bool = False
) -> NonlinearOperator:
    r"""Magnitudes of the Fourier transforms of a real image behind several coded masks.

    With three masks or more the image is determined up to its sign, for almost all masks.

    Args:
        masks: Complex transmission of each mask, such as :math:`e^{i \phi}` with random phases.
        squared: Measure intensities instead.

    References:
        Candes, Li & Soltanolkotabi, "Phase retrieval from coded diffraction patterns", Appl.
        Comput. Harmon. Anal. 39:277-299, 2015. arXiv:1310.3240
    """
    sampled = torch.ones(masks.shape[-2:], dtype=torch.bool)
    fourier = CoilFourier(sampled, masks, phase=torch.zeros(masks.shape[-2:]).to(masks.real))
    return compose(Magnitude(fourier.out_shape, squared=squared), fourier)
