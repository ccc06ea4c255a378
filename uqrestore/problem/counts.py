"""Line integrals behind photon counts: the linear problem that counts nearly are."""

from torch import Tensor

from uqrestore.operators.base import LinearOperator
from uqrestore.operators.nonlinear.algebra import NonlinearComposed
from uqrestore.operators.nonlinear.base import Linearised
from uqrestore.operators.nonlinear.pointwise import Affine, BeerLambert
from uqrestore.operators.radon import Radon
from uqrestore.problem.general import GeneralProblem
from uqrestore.problem.linear import Problem


def logarithm(problem: GeneralProblem) -> Problem | None:
    r"""Return the problem of the logarithm of counts, with rows in units of their noise.

    The line integrals :math:`\log(I_0 / y)` have a variance of about :math:`1 / y`.

    Returns:
        None where the measurement is no counts behind line integrals.
    """
    detector, operator = _counts(problem)
    if detector is None or operator is None:
        return None
    inner = NonlinearComposed(operator.parts[1:])
    at = problem.y.new_zeros(*problem.problem_shape, *problem.in_shape)
    weight = problem.y.clamp(min=1).sqrt()
    linear = Linearised(inner, at, weight)
    return Problem(linear, weight * (detector.logarithm(problem.y) - inner.forward(at)), 1.0)


def sinogram(problem: GeneralProblem) -> tuple[Problem, float, float] | None:
    """Return the problem of line integrals of attenuation, as filtered back-projection takes it.

    Returns:
        The problem, of images that are 0 where nothing attenuates and 1 at the bright end of the
        prior; and the intensities in network units that these two stand for. Its noise is the
        mean variance of the logarithm. None where the measurement is no CT scan.
    """
    detector, operator = _counts(problem)
    if detector is None or operator is None or not isinstance(rays := operator.parts[1], Radon):
        return None
    low, slope = 0.0, 1.0  # attenuation = low + slope * x
    for part in reversed(operator.parts[2:]):
        if not isinstance(part, Affine):
            return None
        half = (part.high - part.low) / 2
        low, slope = part.low + half * (low + 1), half * slope
    bright = low + slope
    y = detector.logarithm(problem.y) / bright
    noise = (1 / problem.y.clamp(min=1)).mean().sqrt() / bright
    return Problem(rays, y, float(noise)), -low / slope, 1.0


def _counts(problem: GeneralProblem) -> tuple[BeerLambert | None, NonlinearComposed | None]:
    operator = problem.operator
    if not isinstance(operator, NonlinearComposed) or len(operator.parts) == 1:
        return None, None
    detector, *rest = operator.parts
    linear = all(isinstance(part, LinearOperator | Affine) for part in rest)
    return (detector, operator) if isinstance(detector, BeerLambert) and linear else (None, None)


def plain_attenuation(problem: GeneralProblem) -> Tensor | None:
    """Return the filtered back-projection of a CT scan in network units; None for other scans."""
    found = sinogram(problem)
    if found is None:
        return None
    one, low, high = found
    assert isinstance(one.operator, Radon)  # as made above
    return low + (high - low) * one.operator.fbp(one.y)
