"""One call of a conditional denoiser: the mean, and components where the network has them."""

import pytest
import torch
from torch import Tensor

from tests.networks.cases import SHAPE, awake
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.posterior_mean import posterior_moments
from uqrestore.networks import InvFussion
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.priors import GaussianPrior
from uqrestore.problem import Problem, simulate

BATCH = 3
NOISE = SampleNoise(0, [0])


def randn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def inpainting() -> Inpainting:
    return Inpainting((randn(BATCH, *SHAPE, seed=1) > 0).double())


def network(components: int = 2) -> NetworkDenoiser:
    made = InvFussion(
        SHAPE,
        patch=2,
        widths=(16, 24),
        depths=(1, 1),
        attention=("neighborhood:3", "global"),
        fdl_input="projected",
        guess=3,
        components=components,
        head_width=8,
        cond_width=16,
    )
    return NetworkDenoiser(awake(made.double()))


def test_the_mean_of_a_gaussian_prior_is_its_posterior_mean() -> None:
    pixels = SHAPE[1] * SHAPE[2]
    root = 0.1 * randn(pixels, pixels, seed=2)
    prior = GaussianPrior.from_covariance(randn(*SHAPE, seed=3), root @ root.mT)
    operator = inpainting()[0]
    problem = simulate(operator, randn(*SHAPE, seed=4))
    problem = Problem(operator, problem.y, 0.1)
    exact = prior.posterior(problem).mean
    for sigma, least in ((1e3, 1e-2), (1e5, 1e-4)):
        found = posterior_moments(prior, problem, NOISE, sigma=sigma)
        assert (found.mean - exact).abs().max() < least
        assert found.std.shape == (0,)


@pytest.mark.parametrize("noise_std", [0.0, 0.1])
def test_a_batch_is_its_problems_one_by_one(noise_std: float) -> None:
    denoiser, operator = network(), inpainting()
    y = operator.forward(randn(BATCH, *SHAPE, seed=5))
    noise = SampleNoise(0, [0], slices=range(BATCH))
    together = posterior_moments(denoiser, Problem(operator, y, noise_std), noise)
    assert together.directions.shape == (BATCH, 2, *SHAPE)
    for i in range(BATCH):
        alone = posterior_moments(
            denoiser, Problem(operator[i], y[i], noise_std), SampleNoise(0, [0], slices=i)
        )
        torch.testing.assert_close(alone.mean, together.mean[i])
        torch.testing.assert_close(alone.directions, together.directions[i])
        torch.testing.assert_close(alone.std, together.std[i])


def test_without_noise_the_mean_explains_the_data_and_components_leave_them_alone() -> None:
    denoiser, operator = network(), inpainting()
    problem = simulate(operator, randn(BATCH, *SHAPE, seed=5))
    found = posterior_moments(denoiser, problem, SampleNoise(0, [0], slices=range(BATCH)))
    torch.testing.assert_close(operator.forward(found.mean), problem.y)
    assert operator.forward(found.directions.transpose(0, 1)).abs().max() < 1e-9
    flat = found.directions.flatten(2)
    torch.testing.assert_close(flat @ flat.mT, torch.eye(2).double().expand(BATCH, 2, 2))
    assert (found.std > 0).all()


@pytest.mark.parametrize("left", [0, 1])
def test_components_beyond_what_is_open_have_no_direction_and_no_length(left: int) -> None:
    seen = torch.ones(SHAPE, dtype=torch.float64)
    seen.flatten()[:left] = 0
    problem = simulate(Inpainting(seen), randn(BATCH, *SHAPE, seed=5))
    found = posterior_moments(network(), problem, SampleNoise(0, [0], slices=range(BATCH)))
    assert (found.std[:, :left] > 0).all()
    assert (found.std[:, left:] == 0).all()
    assert (found.directions[:, left:] == 0).all()


def test_a_network_without_components_gives_the_mean_alone() -> None:
    problem = simulate(inpainting(), randn(BATCH, *SHAPE, seed=5))
    found = posterior_moments(network(0), problem, SampleNoise(0, [0], slices=range(BATCH)))
    assert found.directions.shape == (BATCH, 0, *SHAPE)
    assert found.std.shape == (BATCH, 0)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_images_of_another_shape_are_refused(factor: float) -> None:
    """Half the sides: four of them have the numbers of one image, but are none."""
    channels, *sides = SHAPE
    shape = (channels, *(int(factor * side) for side in sides))
    operator = Inpainting(torch.ones(4, *shape, dtype=torch.float64))
    problem = Problem(operator, operator.forward(randn(4, *shape)))
    with pytest.raises(ValueError, match=r"the network makes images .* inpainting measures images"):
        posterior_moments(network(), problem, NOISE)
    with pytest.raises(ValueError, match=r"was given x_t of shape \(4, "):
        network()(randn(4, *shape), torch.tensor(1.0))
