"""Every method against closed forms.

With a linear denoiser most samplers are affine maps of their noise, so their mean and covariance
are computed exactly and compared with matrix recursions, without Monte Carlo errors.
"""

import math
import sys
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.methods.tapes import Given, Walled, Zeros, moments
from uqrestore.benchmarks.counting import count
from uqrestore.diffusion.samplers import sample
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods import METHODS
from uqrestore.methods._moments import Moments, linearise
from uqrestore.methods.dps import unit_residual
from uqrestore.methods.pigdm import fit, guide
from uqrestore.methods.ssd import shortcut
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting, Matrix
from uqrestore.operators.base import LinearOperator
from uqrestore.priors import GaussianPrior
from uqrestore.problem import Problem, simulate

SHAPE = (1, 2, 3)
PIXELS = 6
GRID = [30.0, 6.0, 2.0, 0.7, 0.2, 0.05, 0.0]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian_prior(seed: int = 1, *, white: bool = False) -> GaussianPrior:
    root = torch.eye(PIXELS).double() if white else randn(PIXELS, PIXELS, seed=seed) / 2
    return GaussianPrior.from_covariance(randn(*SHAPE, seed=seed + 1), root @ root.T)


def dense(rows: int = 3) -> Matrix:
    return Matrix(randn(rows, PIXELS, seed=7), SHAPE)


def half_seen() -> Inpainting:
    return Inpainting(torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]], dtype=torch.float64))


def problem_of(operator: LinearOperator, noise_std: float = 0.0) -> Problem:
    truth = gaussian_prior().draw(SampleNoise(3, [0]))[0]
    return simulate(operator, truth, noise_std=noise_std, noise=SampleNoise(4, [0]))


def flat(x: Tensor) -> Tensor:
    return x.flatten(x.ndim - 3)


def test_dps_without_pull_is_the_ancestral_sampler() -> None:
    """Unconditional sampling of a white prior, with the variance loss of 100 DDPM steps."""
    known, prior = problem_of(half_seen()), gaussian_prior(white=True)
    _, covariance = moments(lambda n: METHODS["dps"](known, prior, n, steps=100, strength=0.0))
    expected = 0.9216 * torch.eye(PIXELS).double()
    torch.testing.assert_close(covariance, expected, atol=1e-4, rtol=0)


def test_what_was_not_seen_moves_as_without_a_measurement() -> None:
    """DDNM and DDRM share the step, hence the noise, outside the data."""
    prior, known = gaussian_prior(white=True), problem_of(half_seen())
    noise = randn(7 * PIXELS, seed=2)
    unseen = known.operator.mask == 0  # type: ignore[attr-defined]
    options = {"sigmas": GRID, "eta": 0.6, "eta_mode": "fixed"}
    images = [METHODS[m](known, prior, Given(noise), **options) for m in ("ddnm", "ddrm")]
    free = METHODS["dps"](known, prior, Given(noise), sigmas=GRID, strength=0.0)
    ancestral = METHODS["ddnm"](known, prior, Given(noise), sigmas=GRID, eta=1.0)
    # Their starts differ by the factor sqrt(1 + sigma^2) / sigma.
    torch.testing.assert_close(images[0][0][unseen], images[1][0][unseen], rtol=0, atol=1e-3)
    torch.testing.assert_close(free[0][unseen], ancestral[0][unseen])


def test_heun_multiplies_as_predicted() -> None:
    """The product of its matrices, for a linear denoiser."""
    prior, levels = gaussian_prior(), [3.0, 1.0, 0.4]
    x = randn(1, *SHAPE, seed=5) * 3
    out = sample(lambda u, s: prior(u, s), x, levels, Zeros(), sampler="heun")
    gain = torch.eye(PIXELS).double()
    for sigma, below in pairwise(levels):
        slopes = []
        for level in (sigma, below):
            shrink = prior.covariance @ torch.linalg.inv(
                prior.covariance + level**2 * torch.eye(PIXELS).double()
            )
            slopes.append((torch.eye(PIXELS).double() - shrink) / level)
        h, eye = below - sigma, torch.eye(PIXELS).double()
        gain = (eye + h / 2 * (slopes[0] + slopes[1] @ (eye + h * slopes[0]))) @ gain
    torch.testing.assert_close(flat(out - prior.mean), flat(x - prior.mean) @ gain.T)


def ssd_recursion(
    prior: GaussianPrior, known: Problem, eta_up: float, eta: float
) -> tuple[Tensor, Tensor]:
    """Mean and covariance of SSD in matrices as recursions, 5 and 6 points, t0 = 550."""
    up, down = shortcut(550, 5, 6)
    eye = torch.eye(PIXELS).double()
    matrix = flat(known.operator(eye.reshape(PIXELS, *SHAPE))).T
    null = eye - torch.linalg.pinv(matrix) @ matrix
    mu = prior.mean.flatten()
    seen = known.operator.pinv(known.y).flatten()
    mean, covariance = seen * math.sqrt(1 + up[0] ** 2), torch.zeros(PIXELS, PIXELS).double()

    def shrink(sigma: float) -> Tensor:
        return prior.covariance @ torch.linalg.inv(prior.covariance + sigma**2 * eye)

    for sigma, above in pairwise(up):
        g = shrink(sigma)
        b = math.sqrt((1 - eta_up) * above**2 + eta_up * sigma**2)
        step = g + b / sigma * (eye - g)
        mean = mu + step @ (mean - mu)
        covariance = step @ covariance @ step.T + eta_up * (above**2 - sigma**2) * eye
    for sigma, below in pairwise(down):
        g = shrink(sigma)
        kept = below / sigma * math.sqrt(1 - eta**2)
        clean = mu + g @ (mean - mu)
        mean = null @ clean + seen + kept * (mean - clean)
        step = null @ g + kept * (eye - g)
        covariance = step @ covariance @ step.T + (eta * below) ** 2 * eye
    return mean, covariance


@pytest.mark.parametrize("eta_inversion", [0.0, 0.4, 1.0])
def test_ssd_is_the_matrix_recursion(eta_inversion: float) -> None:
    prior, known = gaussian_prior(), problem_of(dense())
    options = {"inversion_points": 5, "steps": 6, "eta": 0.8, "eta_mode": "fixed"}
    got = moments(lambda n: METHODS["ssd"](known, prior, n, eta_inversion=eta_inversion, **options))
    want = ssd_recursion(prior, known, eta_inversion, 0.8)
    torch.testing.assert_close(got[0], want[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(got[1], want[1], rtol=1e-9, atol=1e-10)


def test_ssd_plus_between_always_and_never() -> None:
    """Full weight is plain SSD, no weight is unconditional sampling."""
    prior, known = gaussian_prior(), problem_of(dense())
    options: dict[str, Any] = {"inversion_points": 4, "steps": 6}
    noise = randn(20 * PIXELS)
    always = METHODS["ssd_plus"](known, prior, Given(noise), weight="stop", t_stop=0, **options)
    assert torch.equal(always, METHODS["ssd"](known, prior, Given(noise), **options))
    counted, denoiser, counts = count(known, prior)
    never = {"weight": "stop", "t_stop": 550}
    METHODS["ssd_plus"](counted, denoiser, Given(noise), **never, **options)
    assert (counts.network, counts.forward, counts.pinv) == (9, 0, 1)


@pytest.mark.parametrize("noise_std", [0.0, 0.3])
def test_equal_singular_values_need_no_decomposition(noise_std: float) -> None:
    """The form with A and A^+ only, against the spectral form of the same map."""
    mask = half_seen()
    rows = torch.eye(PIXELS).double()[mask.mask.flatten() > 0]
    seen, prior = problem_of(mask, noise_std), gaussian_prior()
    same = Problem(Matrix(rows, SHAPE), seen.y.flatten()[mask.mask.flatten() > 0], noise_std)
    for name in ("ddrm", "ddnm_plus", "ssd_plus"):
        options = {"steps": 7} if name == "ssd_plus" else {"sigmas": GRID}
        first, second = (
            moments(lambda n, p=p, m=name, o=options: METHODS[m](p, prior, n, **o))
            for p in (seen, same)
        )
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["ddnm", "ddrm", "ssd", "moment_matching", "local_gaussian"])
def test_without_noise_the_data_are_met(name: str) -> None:
    """A x = y to rounding, for an operator with many singular values."""
    prior, known = gaussian_prior(), problem_of(dense())
    images = METHODS[name](known, prior, SampleNoise(0, range(3)))
    torch.testing.assert_close(known.operator(images), known.y.expand(3, 3))


def test_pigdm_is_exact_for_a_white_prior() -> None:
    """The guided estimate is then the exact conditional denoiser."""
    prior, known = gaussian_prior(white=True), problem_of(dense(), 0.3)
    for sigma in (0.1, 1.0, 20.0):
        x = sigma * randn(2, *SHAPE)
        answer, guidance, variance = guide(Checked(prior, "pigdm"), known, x, sigma, 1.0)
        exact = prior(x, sigma, known)
        torch.testing.assert_close(answer + sigma**2 / variance * guidance, exact)
        assert (answer + guidance - exact).abs().max() > 1e-3 * sigma


def test_the_covariance_makes_every_gaussian_prior_exact() -> None:
    """The exact conditional denoiser with C in place of r^2 I, and its noise-free limit."""
    prior = gaussian_prior()
    for noise_std in (0.3, 0.0):
        known = problem_of(dense(), noise_std)
        for sigma in (0.1, 1.0, 20.0):
            x = sigma * randn(2, *SHAPE)
            local = Moments.at(Checked(prior, "x"), x, sigma, 3, 0.5)
            residual = known.y - known.operator(local.mean)
            answer = local.mean + local.gain(known, residual, 3)
            exact = prior.posterior(known).denoise(x, sigma)
            torch.testing.assert_close(answer, exact, rtol=1e-6, atol=1e-6)


def test_a_covariance_that_is_none_never_makes_the_residual_grow() -> None:
    """A network's products are those of no symmetric matrix; the solve must not rely on it."""
    skewed = randn(PIXELS, PIXELS, seed=11) - 0.5 * torch.eye(PIXELS).double()
    known, mean = problem_of(half_seen(), 1e-4), torch.zeros(1, *SHAPE).double()
    local = Moments(mean, lambda v: (flat(v) @ skewed).reshape(v.shape), 1.0, 3)
    before = known.y.norm()
    for products in (1, 2, 3):
        after = (known.y - known.operator(local.gain(known, known.y[None], products))).norm()
        assert after < before + 1e-6
        before = after
    assert before < 1e-3 * known.y.norm()


def test_the_spread_has_the_covariance_of_the_denoiser() -> None:
    """Full Krylov spaces give the symmetric root, whatever direction they start from."""
    prior, sigma = gaussian_prior(), 0.7
    eye = torch.eye(PIXELS).double().reshape(PIXELS, *SHAPE)
    local = Moments.at(Checked(prior, "x"), torch.zeros_like(eye), sigma, 3, 0.5)
    root = flat(local.spread(eye, PIXELS))
    total = prior.covariance + sigma**2 * torch.eye(PIXELS).double()
    expected = sigma**2 * prior.covariance @ torch.linalg.inv(total)
    torch.testing.assert_close(root @ root.T, expected, rtol=1e-8, atol=1e-8)
    assert (local.spread(torch.zeros_like(eye), 2) == 0).all()


def test_local_gaussian_is_exact_from_one_level() -> None:
    """With full products one level, far up, draws from the posterior itself."""
    prior, known = gaussian_prior(), problem_of(dense(), 0.3)
    noise = SampleNoise(0, range(4000))
    options = {"sigmas": [3000.0, 0.0], "spread_products": PIXELS, "data_products": 3}
    images = flat(METHODS["local_gaussian"](known, prior, noise, **options))
    exact = prior.posterior(known)
    assert isinstance(exact, GaussianPrior)
    error = (images.mean(0) - exact.mean.flatten()) / (exact.std.flatten() / 4000**0.5)
    assert error.abs().max() < 4.5
    apart = torch.linalg.eigvalsh(images.T.cov() - exact.covariance)
    assert apart.abs().max() < 0.1 * exact.variances.max()


def test_the_pull_of_dps_is_the_gradient_and_goes_down() -> None:
    """Against finite differences, with the factor from variance-preserving units."""
    prior, known, (sigma, below) = gaussian_prior(), problem_of(dense(), 0.3), (2.0, 1.0)
    white = randn(2 * PIXELS)
    plain, pulled = (
        METHODS["dps"](known, prior, Given(white), sigmas=[sigma, below], strength=strength)
        for strength in (0.0, 0.3)
    )
    pull = (pulled - plain) / 0.3 / math.sqrt((1 + sigma**2) * (1 + below**2))
    x = math.sqrt(1 + sigma**2) * white[:PIXELS].reshape(1, *SHAPE)

    def misfit(at: Tensor) -> float:
        return float((known.y - known.operator(prior(at, sigma))).norm())

    slope = [(misfit(x + 1e-5 * e) - misfit(x - 1e-5 * e)) / 2e-5
             for e in torch.eye(PIXELS).double().reshape(PIXELS, 1, *SHAPE)]  # fmt: skip
    torch.testing.assert_close(pull.flatten(), -torch.tensor(slope).double(), atol=1e-7, rtol=1e-6)
    assert misfit(x + 0.01 * pull) < misfit(x)
    assert (unit_residual(torch.zeros(2, 3), 1) == 0).all()


def test_the_prox_of_diffpir() -> None:
    """The normal equations, both limits, and the strength that is exact."""
    known, prior = problem_of(dense(), 0.3), gaussian_prior(white=True)
    answer, sigma = randn(1, *SHAPE, seed=9), 0.8
    rho, op = known.noise_std**2 / sigma**2, known.operator
    clean = answer + fit(known, known.y - op(answer), sigma**2)
    left = op.adjoint(op(clean)) + rho * clean
    torch.testing.assert_close(left, op.adjoint(known.y) + rho * answer)
    near = answer + fit(known, known.y - op(answer), 1e9)
    torch.testing.assert_close(near, op.project(answer, known.y), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(answer + fit(known, known.y - op(answer), 1e-12), answer)
    x = sigma * randn(1, *SHAPE, seed=10)
    d = prior(x, sigma)
    exact = d + fit(known, known.y - op(d), sigma**2 / (1 + sigma**2))
    torch.testing.assert_close(exact, prior(x, sigma, known))


@pytest.mark.parametrize("name", ["conditional", "diffpir", "moment_matching", "local_gaussian"])
def test_units_do_not_matter(name: str) -> None:
    """Prior, data and levels all in other units."""
    k, known, prior = 7.0, problem_of(dense(), 0.3), gaussian_prior()
    other = GaussianPrior.from_covariance(k * prior.mean, k**2 * prior.covariance)
    scaled = Problem(known.operator, k * known.y, k * 0.3)
    options = {} if name in {"conditional", "diffpir"} else {"data_std": 0.5 * k}
    images = METHODS[name](known, prior, SampleNoise(0, range(2)), sigmas=GRID)
    levels = [k * level for level in GRID]
    again = METHODS[name](scaled, other, SampleNoise(0, range(2)), sigmas=levels, **options)
    torch.testing.assert_close(again, k * images, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ["ddnm_plus", "diffpir", "ssd_plus", "pigdm", "conditional"])
def test_rotation_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would if spectral weights met the wrong basis."""
    # Probes of an affine map are no draws, and miss the measurement by far.
    monkeypatch.setattr(sys.modules["uqrestore.methods.pigdm"], "MISFIT", math.inf)
    turn = torch.linalg.qr(randn(PIXELS, PIXELS, seed=21))[0]
    prior, known = gaussian_prior(), problem_of(dense(), 0.3)
    mean = (turn @ prior.mean.flatten()).reshape(SHAPE)
    other = GaussianPrior.from_covariance(mean, turn @ prior.covariance @ turn.T)
    matrix = flat(known.operator(torch.eye(PIXELS).double().reshape(PIXELS, *SHAPE))).T
    moved = Problem(Matrix(matrix @ turn.T, SHAPE), known.y, 0.3)
    options = {"steps": 6} if name == "ssd_plus" else {"sigmas": GRID}
    first = moments(lambda n: METHODS[name](known, prior, n, **options))
    second = moments(lambda n: METHODS[name](moved, other, n, **options))
    torch.testing.assert_close(second[0], turn @ first[0], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(second[1], turn @ first[1] @ turn.T, rtol=1e-8, atol=1e-8)


def test_a_shift_is_followed() -> None:
    """The start, which is not shifted, is forgotten."""
    shift, prior, known = 3.0, gaussian_prior(), problem_of(dense(), 0.3)
    other = GaussianPrior(prior.mean + shift, prior.directions, prior.variances, SHAPE)
    moved = Problem(
        known.operator, known.y + known.operator(torch.full(SHAPE, shift).double()), 0.3
    )
    levels = torch.logspace(3, -2, 60, dtype=torch.float64).tolist()
    first, second = (
        moments(lambda n, p=p, d=d: METHODS["conditional"](p, d, n, sigmas=[*levels, 0.0]))[0]
        for p, d in ((known, prior), (moved, other))
    )
    torch.testing.assert_close(second, first + shift, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ddnm", {"eta": 0.0}),
        ("pigdm", {}),
        ("moment_matching", {}),
        ("conditional", {}),
        ("ssd", {"eta": 0.0, "eta_inversion": 0.0}),
    ],
)
def test_without_fresh_noise_only_the_start_is_random(name: str, options: dict[str, Any]) -> None:
    """Deterministic samplers draw the starting noise and nothing else."""
    tape = Zeros()
    METHODS[name](problem_of(dense()), gaussian_prior(), tape, **options)
    assert tape.drawn == (0 if name == "ssd" else PIXELS)


def test_noise_is_in_the_units_of_the_measurement() -> None:
    """Its standard deviation is noise_std per entry of y."""
    operator = Inpainting(torch.ones(1, 40, 41).double())
    x = torch.zeros(1, 40, 41).double()
    known = simulate(operator, x, noise_std=0.3, noise=SampleNoise(0, [0]))
    assert float(known.y.std()) == pytest.approx(0.3, rel=5 / math.sqrt(2 * 40 * 41))


@pytest.mark.parametrize(
    ("name", "options", "want"),
    [
        ("ddrm", {"steps": 20}, (20, 0)),
        ("ddnm_plus", {"steps": 20}, (20, 0)),
        ("diffpir", {"steps": 20}, (20, 0)),
        ("dps", {"steps": 20}, (20, 20)),
        ("pigdm", {"steps": 20}, (20, 20)),
        ("pigdm", {"steps": 20, "sampler": "heun"}, (39, 39)),
        ("daps", {"levels": 5, "langevin_steps": 3}, (5, 0)),
        ("daps", {"levels": 5, "width": "sigma", "ode_steps": 5, "langevin_steps": 3}, (25, 0)),
        ("moment_matching", {}, (22, 88)),
        ("local_gaussian", {}, (13, 91)),
        ("local_gaussian", {"preset": "50"}, (10, 20)),
        ("local_gaussian", {"preset": "100"}, (9, 45)),
        ("local_gaussian", {"preset": "400"}, (20, 180)),
        ("conditional", {}, (63, 0)),
        ("ssd_plus", {"preset": "30"}, (29, 0)),
        ("ssd_plus", {"preset": "100"}, (99, 0)),
        ("exact", {}, (0, 0)),
    ],
)
def test_calls_and_products_are_as_documented(
    name: str, options: dict[str, Any], want: tuple[int, int]
) -> None:
    known, denoiser, counts = count(problem_of(dense(), 0.3), gaussian_prior())
    METHODS[name](known, denoiser, SampleNoise(0, range(2)), **options)
    assert (counts.network, counts.products) == want


def test_langevin_chains_are_walked_where_there_is_no_spectral_form() -> None:
    prior, known = gaussian_prior(), problem_of(dense(), 0.3)
    walked = Problem(Walled(randn(3, PIXELS, seed=7), SHAPE), known.y, known.noise_std)
    options = {"levels": 3, "langevin_steps": 4}
    counted, denoiser, counts = count(walked, prior)
    METHODS["daps"](counted, denoiser, SampleNoise(0, [0]), **options)
    assert counts.adjoint == counts.forward + 1 == 30 + 3 * 4 + 1, "30 find the step"

    found = [moments(lambda noise, of=of: METHODS["daps"](of, prior, noise, sigmas=[0.7, 0.4, 0.0],
                                                     step_size=0.004, langevin_steps=7))
            for of in (known, walked)]  # fmt: skip
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-11)


def test_a_product_is_counted_when_it_is_made() -> None:
    _, denoiser, counts = count(problem_of(dense()), gaussian_prior())
    _, product = linearise(Checked(denoiser, "x"), randn(2, *SHAPE), 1.0)
    for _ in range(3):
        product(randn(2, *SHAPE))
    assert (counts.network, counts.products, counts.calls) == (1, 3, 7)
