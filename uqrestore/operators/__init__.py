"""Linear operators, by the name a pipeline calls them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from uqrestore.operators.base import LinearOperator, SolveInfo, Spectrum, stack_operators
from uqrestore.operators.identity import Identity, Zero
from uqrestore.operators.inpainting import Inpainting
from uqrestore.operators.masked_fourier import MaskedFourier

OPERATORS: Mapping[str, type[LinearOperator]] = {
    "identity": Identity,
    "inpainting": Inpainting,
    "masked_fourier": MaskedFourier,
    "zero": Zero,
}


def from_data(
    name: str, params: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> LinearOperator:
    """Rebuild an operator from its name and what its ``to_data`` returned.

    Raises:
        ValueError: If no operator has this name.
    """
    if name not in OPERATORS:
        raise ValueError(f"there is no operator {name!r}; it can be {', '.join(OPERATORS)}.")
    return OPERATORS[name].from_data(params, arrays)


__all__ = [
    "OPERATORS",
    "Identity",
    "Inpainting",
    "LinearOperator",
    "MaskedFourier",
    "SolveInfo",
    "Spectrum",
    "Zero",
    "from_data",
    "stack_operators",
]
