"""Local Laplace sampling: nonlinear operators, any noise model, unknown parameters."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.schedules import geometric_sigmas, noise_levels
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_range
from uqrestore.methods._collapsed import Collapsed, can_collapse
from uqrestore.methods._laplace import LocalPosterior, warn_of_chains
from uqrestore.methods._method import Method, method
from uqrestore.methods._moments import Moments
from uqrestore.methods._noise_free import weighed_std
from uqrestore.noise import Gaussian, SampleNoise, UncertainGaussian
from uqrestore.operators.nonlinear.uncertain import Joint, UncertainOperator
from uqrestore.problem import GeneralProblem, Problem

STATISTICS, COORDINATES = ("acceptance", "solve_residual"), "theta"
"""Names of what is returned in detail beside the parameters."""


@method(general=True)
def local_laplace(
    problem: Problem | GeneralProblem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    levels: int = 10,
    sigma_max: float = 80.0,
    sigma_min: float = 0.03,
    sigmas: Sequence[float] | None = None,
    spread_products: int = 4,
    data_products: int = 40,
    newton: int = 3,
    starts: int = 1,
    leaps: int = 3,
    moves: int = 6,
    about: Literal["mode", "prior"] = "mode",
    data_std: float = 0.5,
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw posterior samples for any differentiable operator and any noise model.

    As ``local_gaussian``, each level draws the clean image behind a noisy one given the
    measurement, and adds the noise of the next level. The prior of that image is
    :math:`N(D, C)`, from the denoiser and its Jacobian; the likelihood is exact, and the draw is
    one trajectory of Hamiltonian Monte Carlo about the Laplace model, started at the draw of the
    level before (:mod:`uqrestore.methods._laplace`). For a Gaussian prior every level leaves the
    posterior invariant, whatever the operator and the noise; errors come from levels too few to
    reach it, from truncated solves, and from priors that are not Gaussian at the scale of the
    level.

    Parameters of an ``UncertainOperator`` are further entries of the vector that is drawn; the
    level of ``UncertainGaussian`` noise, and the outliers of ``StudentT``, are drawn given the
    image. At most 16 parameters, given which the measurement is linear with Gaussian noise, are
    moved further with the image integrated out, and the image is drawn again given them
    (:mod:`uqrestore.methods._collapsed`). :func:`draw_jointly` returns the parameters.

    Makes ``levels`` network calls, and at each level, with ``d`` ``data_products``, at most
    ``spread_products + (newton + 1)(d + 1) + (leaps + 1)(d + 2)`` vector-Jacobian products, and
    ``(moves + 1) spread_products + (3 moves + 2) d`` more where parameters are moved alone: solves
    stop once they have converged. Warns where they have not, and where few trajectories are
    accepted.

    Args:
        problem: With any operator and noise. A noise-free linear measurement is weighed with a
            small noise, and the draws are projected onto it.
        denoiser: Prior; differentiable.
        noise: Random streams of the samples to draw.
        levels: Noise levels above 0, in equal ratios.
        sigma_max: Highest level, in network intensity.
        sigma_min: Lowest level above 0.
        sigmas: Explicit noise levels instead.
        spread_products: Products per level for a draw of ``N(0, C)``.
        data_products: Largest number of products in one solve.
        newton: Gauss-Newton steps to the mode.
        starts: Images from which the mode is sought at the highest level, and two at the others, to
            keep the most probable; one suffices unless there are modes of little probability.
        leaps: Kicks of a trajectory; more are accepted more often where the posterior is far from
            Gaussian. One suffices for linear Gaussian problems.
        moves: Moves of parameters with the image integrated out, at each level; 0 for none.
        about: What trajectories turn about: the Laplace model at the ``mode``, or the local
            ``prior``, which suits operators whose Jacobian jumps, such as saturation; its leaps
            have to be as short as the noise, but cost one product each and no solve.
        data_std: Standard deviation of the images, for scales of rounding only.

    Returns:
        Images in network intensity.

    Raises:
        ValueError: If an option is out of range, or a nonlinear measurement has no noise.

    References:
        This package. The annealing is that of DAPS (Zhang et al., CVPR 2025. arXiv:2407.01521),
        the covariance Tweedie's (Boys et al., TMLR 2024. arXiv:2310.06721), the trajectory that of
        Beskos et al., Stochastic Processes and their Applications 121, 2011.
    """
    return _draw(
        problem,
        denoiser,
        noise,
        levels=levels,
        sigma_max=sigma_max,
        sigma_min=sigma_min,
        sigmas=sigmas,
        spread_products=spread_products,
        data_products=data_products,
        newton=newton,
        starts=starts,
        leaps=leaps,
        moves=moves,
        about=about,
        data_std=data_std,
    )[0]


def draw_jointly(
    problem: GeneralProblem,
    denoiser: Denoiser | Callable[..., Tensor],
    noise: SampleNoise,
    **options: Any,  # noqa: ANN401 - checked against the signature of the method
) -> tuple[Tensor, dict[str, Tensor]]:
    """Draw images and unknown parameters together by :func:`local_laplace`.

    Args:
        problem: With an ``UncertainOperator`` or ``UncertainGaussian`` noise, or both.
        denoiser: Prior; differentiable.
        noise: Random streams of the samples to draw.
        options: Those of :func:`local_laplace`.

    Returns:
        Images, and the draws of each parameter in its units, ``(*noise.shape,)``, by name;
        ``noise_std`` is that of the noise.

    Raises:
        ValueError: If nothing is unknown, or as :func:`local_laplace`.
    """
    if not isinstance(problem.operator, UncertainOperator) and not isinstance(
        problem.noise_model, UncertainGaussian
    ):
        raise ValueError(
            f"draw_jointly: {problem.operator.name} with {problem.noise_model.name} noise has no "
            "unknown parameters; use local_laplace, or an operator such as UncertainGain."
        )
    images, found = draw_in_detail(problem, denoiser, noise, **options)
    return images, {name: v for name, v in found.items() if name not in (*STATISTICS, COORDINATES)}


def draw_in_detail(
    problem: Problem | GeneralProblem,
    denoiser: Denoiser | Callable[..., Tensor],
    noise: SampleNoise,
    **options: Any,  # noqa: ANN401 - checked against the signature of the method
) -> tuple[Tensor, dict[str, Tensor]]:
    """Draw by :func:`local_laplace`, and return all that was drawn and how the chains went.

    Args:
        problem: Any problem.
        denoiser: Prior; differentiable.
        noise: Random streams of the samples to draw.
        options: Those of :func:`local_laplace`.

    Returns:
        Images; and by name the parameters of :func:`draw_jointly`, their standard normal
        coordinates ``theta``, the ``acceptance`` of trajectories in the lower half of the levels,
        and the largest ``solve_residual`` of any level, ``(*noise.shape, ...)`` each.
    """
    details: dict[str, Tensor] = {}

    @functools.wraps(local_laplace.function)
    def keep(*args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - those of the method
        given = inspect.signature(local_laplace.function).bind(*args, **kwargs)
        given.apply_defaults()
        images, found = _draw(*given.args, **given.kwargs)
        details.update(found)
        return images

    images = Method(keep, local_laplace.presets, general=True)(problem, denoiser, noise, **options)
    return images, details


def _draw(
    problem: Problem | GeneralProblem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    levels: int,
    sigma_max: float,
    sigma_min: float,
    sigmas: Sequence[float] | None,
    spread_products: int,
    data_products: int,
    newton: int,
    starts: int,
    leaps: int,
    moves: int,
    about: Literal["mode", "prior"],
    data_std: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return images, and the draws of unknown parameters by name."""
    require_range("local_laplace", data_products=(data_products, 1, 10_000), leaps=(leaps, 1, 1000))
    require_range("local_laplace", moves=(moves, 0, 1000), starts=(starts, 1, 1000))
    require_range("local_laplace", spread_products=(spread_products, 1, 1000))
    require_range("local_laplace", newton=(newton, 1, 100), sigma_min=(sigma_min, 1e-9, sigma_max))
    if sigmas is None:
        require_range("local_laplace", levels=(levels, 1, 10_000))
        sigmas = geometric_sigmas(levels, sigma_max, sigma_min).tolist()
    given, problem = problem, _noisy(problem)
    grid = noise_levels(levels, sigmas=sigmas)
    denoise, dims = Checked(denoiser, "local_laplace"), len(problem.in_shape)
    joint = Joint(problem.operator)
    flat = GeneralProblem(joint, problem.y, problem.noise_model)
    x = grid[0] * noise.normal(problem.in_shape, problem.y)
    batch, state, start, others = x.ndim - dims, None, None, []
    accepted: list[Tensor] = []
    residual = x.new_zeros(x.shape[:batch])

    def join(image: Tensor, theta: Tensor) -> Tensor:
        return torch.cat([image.flatten(batch), theta], -1)

    for sigma, sigma_next in pairwise(grid):
        local = Moments.at(denoise, x, sigma, dims, data_std)

        def covariance(v: Tensor, local: Moments = local) -> Tensor:
            image, theta = joint.split(v)
            return join(local.covariance(image), theta)

        def images(local: Moments = local, x: Tensor = x) -> Tensor:
            return local.spread(noise.like(x), spread_products)

        def spread(images: Callable[[], Tensor] = images, x: Tensor = x) -> Tensor:
            theta = noise.normal((joint.count,), x)
            return join(images(), theta)

        mean = join(local.mean, x.new_zeros(*x.shape[:batch], joint.count))
        posterior = LocalPosterior(flat, mean, covariance, spread, data_products, start)
        if state is None:
            others = [join(noise.like(x), 0 * joint.split(mean)[1]) for _ in range(starts - 1)]
        found = None
        if state is None or about == "mode":
            found = mode, pull = posterior.best_mode(newton, others)
            others = [pull] if starts > 1 else []
            # Far from linear parameters need more steps than one level takes: they go on from here.
            start = join(torch.zeros_like(local.mean), joint.split(mode)[1])
            state = mode if state is None else state
        state, moved, rest = posterior.draw(state, found if about == "mode" else None, noise, leaps)
        accepted.append(moved.to(x))
        residual = torch.maximum(residual, rest)
        if moves and can_collapse(problem):
            given_noise = replace(problem, noise_model=flat.noise_model)
            alone = Collapsed(given_noise, local.mean, local.covariance, images, data_products)
            state = join(*alone.draw(joint.split(state)[1], noise, moves))
        signal = joint.forward(state)
        model = problem.noise_model.given(problem.y, signal, noise, problem.row_mask)
        flat = replace(flat, noise_model=model)
        image, _ = joint.split(state)
        x = image + sigma_next * noise.like(image) if sigma_next else image
    acceptance = torch.stack(accepted[len(accepted) // 2 :]).mean(0)
    warn_of_chains(float(acceptance.mean()), float(residual.median()))
    found = {"acceptance": acceptance, "solve_residual": residual}
    if isinstance(problem.operator, UncertainOperator) and state is not None:
        theta = joint.split(state)[1]
        found |= {**problem.operator.values(theta), COORDINATES: theta}
    if isinstance(flat.noise_model, Gaussian) and isinstance(
        problem.noise_model, UncertainGaussian
    ):
        found["noise_std"] = torch.as_tensor(flat.noise_model.std).reshape(x.shape[:batch])
    return given.project(x) if isinstance(given, Problem) else x, found


def _noisy(problem: Problem | GeneralProblem) -> GeneralProblem:
    """Return a general problem; a noise-free linear measurement gets a small noise.

    Raises:
        ValueError: If the measurement of a general problem is noise-free.
    """
    if isinstance(problem, Problem):
        return GeneralProblem(problem.operator, problem.y, Gaussian(weighed_std(problem)))
    model = problem.noise_model
    if isinstance(model, Gaussian) and not (torch.as_tensor(model.std) > 0).all():
        raise ValueError(
            "local_laplace weighs a measurement by its noise but the standard deviation is 0; "
            "give GeneralProblem a small one."
        )
    return problem
