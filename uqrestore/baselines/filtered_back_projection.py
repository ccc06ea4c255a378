"""Filtered back-projection of CT."""

from jaxtyping import Float
from torch import Tensor

from uqrestore.operators import Radon
from uqrestore.problem import Problem


def filtered_back_projection(problem: Problem) -> Float[Tensor, "*problem channel row column"]:
    """Reconstruct parallel projections with the ramp filter.

    Args:
        problem: Projections, of images that are 0 in air.

    Raises:
        ValueError: If the measurement is no set of projections.

    References:
        Kak & Slaney, "Principles of Computerized Tomographic Imaging", IEEE Press 1988, chapter 3.
    """
    operator = problem.operator
    if not isinstance(operator, Radon):
        raise ValueError(
            f"filtered_back_projection reconstructs projections but {operator.name} does not "
            "measure them; use total_variation or l1_wavelet."
        )
    return operator.fbp(problem.y)
