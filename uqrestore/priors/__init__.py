"""Priors known in closed form: exact denoisers, posteriors, draws and components."""

from uqrestore.priors.closed_form import ClosedForm
from uqrestore.priors.gaussian import GaussianPrior, gaussian_field
from uqrestore.priors.low_rank import LowRankGaussian, fit_low_rank
from uqrestore.priors.mixture import GaussianMixture

__all__ = [
    "ClosedForm",
    "GaussianMixture",
    "GaussianPrior",
    "LowRankGaussian",
    "fit_low_rank",
    "gaussian_field",
]
