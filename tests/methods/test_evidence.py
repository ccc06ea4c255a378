"""Evidence of the twisted particle sampler against closed forms and grids."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.methods.test_local_laplace import CASES, PRIOR, ROWS, SHAPE, grid
from uqrestore.methods import evidence
from uqrestore.noise import Gaussian, NoiseModel, SampleNoise, UncertainGaussian
from uqrestore.operators import Inpainting, Matrix
from uqrestore.operators.nonlinear import NonlinearOperator, UncertainBlur, UncertainGain
from uqrestore.priors import GaussianMixture, GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import GeneralProblem, Problem, simulate

FIELD = gaussian_field((1, 5, 3))
SEEN = Inpainting(torch.rand(1, 5, 3, generator=torch.Generator().manual_seed(0)) < 0.6)


def modes() -> GaussianMixture:
    """Return a prior with three modes, which no Gaussian is."""
    shapes = ((0.6, 0.3), (-0.4, 0.1), (0.0, 0.2))
    parts = [
        GaussianPrior(FIELD.mean + m, FIELD.directions, v * FIELD.variances, FIELD.in_shape)
        for m, v in shapes
    ]
    return GaussianMixture(torch.tensor([0.3, 0.5, 0.2]).double(), parts)


def test_it_is_exact_for_gaussian_problems_in_any_batch() -> None:
    x = FIELD.draw(SampleNoise(0, [0], slices=range(3)))[0]
    problem = simulate(SEEN.to(torch.float64), x, noise_std=0.1, seed=0)
    found = evidence(problem, FIELD, SampleNoise(1, range(4), slices=range(3)), levels=3)
    torch.testing.assert_close(found.log, FIELD.log_evidence(problem))
    assert (found.std < 1e-6).all()
    assert (found.effective > 1 - 1e-9).all()
    one = evidence(problem.select(1), FIELD, SampleNoise(1, range(4)), levels=3)
    torch.testing.assert_close(one.log, found.log[1])


def test_it_is_within_its_error_for_a_prior_with_several_modes() -> None:
    prior = modes()
    x = prior.draw(SampleNoise(0, [0], slices=range(20)))[0]
    problem = simulate(SEEN.to(torch.float64), x, noise_std=0.1, seed=0)
    found = evidence(problem, prior, SampleNoise(1, range(150), slices=range(20)), levels=50)
    away = found.log - prior.log_evidence(problem)
    assert away.abs().max() < 0.5
    assert away.square().mean().sqrt() < 2 * found.std.square().mean().sqrt() + 0.1
    assert (found.effective < 1).all()


@pytest.mark.parametrize("name", sorted(set(CASES) - {"outliers"}))
def test_other_physics_has_the_evidence_of_a_grid(name: str) -> None:
    problem = GeneralProblem(*CASES[name])
    x, prior = grid()
    cell = (10 * 0.5 / 60) ** 3
    exact = torch.logsumexp(prior + problem.log_likelihood(x), 0) + torch.tensor(cell).log()
    found = evidence(problem, PRIOR, SampleNoise(0, range(2000)), levels=4)
    assert abs(found.log - exact) < 5 * found.std + 1e-3
    assert 0 < found.std < 0.1


@pytest.mark.parametrize(
    "operator",
    [UncertainGain(Matrix(ROWS, SHAPE), 1.2, 0.3), UncertainBlur(SHAPE, 0.8, 0.5)],
    ids=["gain", "blur"],
)
def test_unknown_parameters_are_integrated_out(operator: Any) -> None:  # noqa: ANN401
    truth = torch.tensor([[[0.6, 0.7, 0.2]]], dtype=torch.float64)
    y = operator.forward_at(truth, torch.full((1,), 0.8).double())
    theta = torch.linspace(-5, 5, 201).double()
    eye, log = torch.eye(3).double().reshape(3, *SHAPE), []
    for t in theta:
        columns = operator.forward_at(eye, t.reshape(1, 1).expand(3, 1)).flatten(1)
        log.append(PRIOR.log_evidence(Problem(Matrix(columns.mT, SHAPE), y.flatten(), 0.1)))
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(theta)
    exact = torch.logsumexp(torch.stack(log) + normal, 0) + torch.tensor(0.05).log()
    found = evidence(
        GeneralProblem(operator, y, Gaussian(0.1)), PRIOR, SampleNoise(0, range(2000)), levels=4
    )
    assert abs(found.log - exact) < 5 * found.std + 1e-3


@pytest.mark.filterwarnings("ignore:evidence")  # few particles suffice to tell 5 nats
def test_the_right_one_of_two_operators_has_the_larger_evidence() -> None:
    x = FIELD.draw(SampleNoise(0, [0], slices=range(50)))[0]
    right, wrong = (Matrix(a * torch.eye(15).double(), (1, 5, 3)) for a in (1.0, 1.4))
    problem = simulate(right, x, noise_std=0.1, seed=0)
    other = Problem(wrong, problem.y, 0.1)
    noise = SampleNoise(1, range(60), slices=range(50))
    prior = modes()
    exact = prior.log_evidence(problem) - prior.log_evidence(other)
    apart = exact.abs() > 5
    found = (evidence(p, prior, noise, levels=20).log for p in (problem, other))
    gap = next(found) - next(found)
    assert apart.sum() > 5
    assert (gap.sign() == exact.sign())[apart].all()


def test_a_network_is_weighed_with_its_reference() -> None:
    """The same prior behind a plain function, about a reference that is a little wrong."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return FIELD.denoise(x, sigma)

    wide = GaussianPrior(FIELD.mean + 0.1, FIELD.directions, 1.2 * FIELD.variances, (1, 5, 3))
    x = FIELD.draw(SampleNoise(0, [0]))[0]
    problem = simulate(SEEN.to(torch.float64), x, noise_std=0.1, seed=0)
    noise = SampleNoise(1, range(300))
    found = evidence(problem, denoise, noise, reference=wide, levels=60)
    assert abs(found.log - FIELD.log_evidence(problem)) < 0.3
    with pytest.raises(ValueError, match="a network needs a Gaussian reference; give reference="):
        evidence(problem, denoise, noise)


REFUSED: dict[str, tuple[NonlinearOperator | Matrix, NoiseModel]] = {
    "compare Gaussian": (Matrix(ROWS, SHAPE), UncertainGaussian(0.1)),
    "give a small noise": (Matrix(ROWS, SHAPE), Gaussian(0.0)),
}


@pytest.mark.parametrize("message", sorted(REFUSED))
def test_noise_without_a_density_or_a_level_is_refused(message: str) -> None:
    operator, model = REFUSED[message]
    problem = GeneralProblem(operator, torch.zeros(3).double(), model)
    with pytest.raises(ValueError, match=f"^evidence: .*{message}"):
        evidence(problem, PRIOR, SampleNoise(0, range(4)))


def test_few_effective_particles_are_reported() -> None:
    """One value of three is an outlier, so the posterior is far from Gaussian."""
    problem = GeneralProblem(*CASES["outliers"])
    with pytest.warns(UserWarning, match="of the particles are effective at one level"):
        evidence(problem, PRIOR, SampleNoise(0, range(2000)), levels=4)
