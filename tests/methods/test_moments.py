"""Draws of the local prior by Krylov projection."""

import pytest
import torch

from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._moments import Moments
from uqrestore.noise import SampleNoise
from uqrestore.priors.gaussian import gaussian_field


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [5.0, 0.1, 0.03])
@pytest.mark.parametrize("products", [4, 12, 30])
def test_the_spread_has_the_variance_of_the_local_prior(
    sigma: float, products: int, dtype: torch.dtype
) -> None:
    """Also where all eigenvalues are equal, and where the Krylov space is exhausted."""
    prior = gaussian_field((1, 5, 4))
    noise = SampleNoise(0, range(2000))
    x = prior.draw(noise).to(dtype)
    local = Moments.at(Checked(prior, "test"), x, sigma, 3, 0.5)
    exact = (prior.variances * sigma**2 / (prior.variances + sigma**2)).sum()
    spread = local.spread(noise.like(x), products).double().flatten(1)
    torch.testing.assert_close(spread.var(0).sum(), exact, rtol=0.04, atol=0)
