"""Inverse problems: operator, measurement and noise of one image or a batch."""

from uqrestore.problem.general import GeneralProblem
from uqrestore.problem.linear import Problem, as_measurement, check_measured, simulate

__all__ = ["GeneralProblem", "Problem", "as_measurement", "check_measured", "simulate"]
