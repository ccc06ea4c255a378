"""Linear operators, by their names in pipelines."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from uqrestore.operators import kernels, masks, nonlinear, random
from uqrestore.operators.adapters import from_callable, from_deepinv, to_deepinv
from uqrestore.operators.adjoint import check_adjoint, valid_adjoint
from uqrestore.operators.algebra import Composed, Scaled, Stacked
from uqrestore.operators.base import LinearOperator, stack_operators
from uqrestore.operators.coil_fourier import CoilFourier
from uqrestore.operators.coil_radial import CoilRadial
from uqrestore.operators.colorization import Colorization
from uqrestore.operators.downsampling import Downsampling
from uqrestore.operators.embedding import Embedding
from uqrestore.operators.hadamard import Hadamard
from uqrestore.operators.identity import Identity, Zero
from uqrestore.operators.inpainting import Inpainting
from uqrestore.operators.masked_fourier import MaskedFourier
from uqrestore.operators.matrix import Matrix
from uqrestore.operators.mixed import Mixed, mix
from uqrestore.operators.nonlinear import NONLINEAR_OPERATORS, NonlinearOperator
from uqrestore.operators.padded import Padded
from uqrestore.operators.radial_fourier import RadialFourier
from uqrestore.operators.radon import Radon
from uqrestore.operators.spectrum import SolveInfo, Spectrum
from uqrestore.operators.strided_blur import StridedBlur

OPERATORS: Mapping[str, type[LinearOperator]] = {
    "coil_fourier": CoilFourier,
    "coil_radial": CoilRadial,
    "colorization": Colorization,
    "composed": Composed,
    "downsampling": Downsampling,
    "embedding": Embedding,
    "hadamard": Hadamard,
    "identity": Identity,
    "inpainting": Inpainting,
    "masked_fourier": MaskedFourier,
    "matrix": Matrix,
    "mixed": Mixed,
    "padded": Padded,
    "radial_fourier": RadialFourier,
    "radon": Radon,
    "scaled": Scaled,
    "stacked": Stacked,
    "strided_blur": StridedBlur,
    "zero": Zero,
}

PIPELINE_OPERATORS: Mapping[str, Callable[..., LinearOperator]] = {
    **OPERATORS,
    "matrix": Matrix.random,
    "radon": Radon.sparse_view,
    "strided_blur": StridedBlur.gaussian,
}
"""Constructors for pipelines, whose files hold numbers and no tensors, by operator name."""


def from_data(
    name: str, params: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> LinearOperator | NonlinearOperator:
    """Rebuild an operator, linear or not, from its name and what its ``to_data`` returned.

    Raises:
        ValueError: If no operator has this name.
    """
    known = {**OPERATORS, **NONLINEAR_OPERATORS}
    if name not in known:
        raise ValueError(f"there is no operator {name!r}; it can be {', '.join(known)}.")
    return known[name].from_data(params, arrays)


def list_operators() -> list[tuple[str, str, str]]:
    """Return name, shapes and kind of pseudo-inverse of every operator, for the command line."""
    rows = []
    for name, kind in OPERATORS.items():
        exact = kind.exact_pinv
        pinv = "as its parts" if isinstance(exact, property) else "exact" if exact else "iterative"
        rows.append((name, kind.shapes, pinv))
    return rows


__all__ = [
    "OPERATORS",
    "PIPELINE_OPERATORS",
    "CoilFourier",
    "CoilRadial",
    "Colorization",
    "Composed",
    "Downsampling",
    "Embedding",
    "Hadamard",
    "Identity",
    "Inpainting",
    "LinearOperator",
    "MaskedFourier",
    "Matrix",
    "Mixed",
    "Padded",
    "RadialFourier",
    "Radon",
    "Scaled",
    "SolveInfo",
    "Spectrum",
    "Stacked",
    "StridedBlur",
    "Zero",
    "check_adjoint",
    "from_callable",
    "from_data",
    "from_deepinv",
    "kernels",
    "list_operators",
    "masks",
    "mix",
    "nonlinear",
    "random",
    "stack_operators",
    "to_deepinv",
    "valid_adjoint",
]
