"""What methods check before and after they draw."""

import inspect
from collections.abc import Collection, Mapping
from typing import Literal, get_args, get_origin

import torch
from torch import Tensor

from uqrestore._shared.text import did_you_mean
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.noise import Gaussian, SampleNoise, UncertainGaussian
from uqrestore.operators.nonlinear.uncertain import UncertainOperator
from uqrestore.problem import GeneralProblem, Problem


def require_noise_free(method: str, problem: Problem | GeneralProblem) -> None:
    """Raise if the measurement is noisy."""
    if isinstance(problem, GeneralProblem):
        model = problem.noise_model
        if not isinstance(model, Gaussian) or bool((torch.as_tensor(model.std) > 0).any()):
            raise ValueError(
                f"{method} restores noise-free measurements but this has {model.name} noise; give "
                "Gaussian(0.0), or choose 'ssd_plus' with weight='stop', or 'local_laplace'."
            )
    elif problem.is_noisy:
        raise ValueError(
            f"{method} restores noise-free measurements but noise_std is {_level(problem)}; choose "
            "a method for noisy data, such as 'local_gaussian', 'moment_matching' or 'diffpir'."
        )


def require_known(method: str, problem: Problem | GeneralProblem) -> None:
    """Raise if the operator or the noise has parameters to draw."""
    for part in (problem.operator, problem.noise_model):
        if isinstance(part, UncertainOperator | UncertainGaussian):
            raise ValueError(
                f"{method} draws no parameters but {part.name} has some; choose 'local_laplace', "
                "or state them."
            )


def require_range(method: str, **options: tuple[float | int, float | int, float | int]) -> None:
    """Raise unless each option lies in its range.

    Args:
        method: Name of the method, for the error.
        options: ``name=(value, low, high)``.
    """
    for option, (value, low, high) in options.items():
        if not low <= value <= high:
            raise ValueError(f"{method}: {option} must be from {low:g} to {high:g}, got {value:g}.")


def require_name(name: str, known: Collection[str], what: str) -> None:
    if name not in known:
        hint = did_you_mean(name, known)
        raise ValueError(f"{what} {name!r}; it can be {', '.join(sorted(known))}.{hint}")


def require_choice(
    method: str, option: str, value: object, own: Mapping[str, inspect.Parameter]
) -> None:
    """Raise unless an option that is one of some words is one of them."""
    annotation = own[option].annotation if option in own else None
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    if choices and value not in choices:
        raise ValueError(
            f"{method}: {option} must be one of {', '.join(map(repr, choices))}, got {value!r}."
        )


def check_kinds(name: str, problem: object, noise: object, general: bool) -> None:
    if isinstance(problem, GeneralProblem) and not general:
        raise ValueError(
            f"{name} restores linear problems with Gaussian noise but this one is "
            f"{problem.operator.name} with {problem.noise_model.name} noise; choose "
            "'local_laplace', or write Problem(operator, y, noise_std) if both are."
        )
    if not isinstance(problem, Problem | GeneralProblem):
        raise ValueError(
            f"{name} restores a Problem but got {type(problem).__name__}; write "
            "Problem(operator, y, noise_std), or uqrestore.sample(operator, y, prior)."
        )
    if not isinstance(noise, SampleNoise):
        batch = problem.problem_shape
        slices = f", slices=range({batch[0]})" if batch else ""
        raise ValueError(
            f"{name} draws from the streams of a SampleNoise but got {noise!r:.40}; write "
            f"SampleNoise(seed, range(samples){slices})."
        )


def check_inputs(
    name: str, problem: Problem | GeneralProblem, denoiser: Denoiser, noise: SampleNoise
) -> None:
    if noise.shape[1:] != problem.problem_shape:
        raise ValueError(
            f"{name}: the noise has streams of shape {noise.shape} but the problem has the batch "
            f"{problem.problem_shape}; streams are (sample, *problem): give SampleNoise one slice "
            "index per problem."
        )
    if tuple(denoiser.in_shape) != problem.in_shape:
        raise ValueError(
            f"{name}: the prior makes images of shape {tuple(denoiser.in_shape)} but the operator "
            f"{problem.operator.name} acts on {problem.in_shape}."
        )


def require_finite(method: str, images: Tensor) -> Tensor:
    bad = int((~torch.isfinite(images)).sum())
    if bad:
        raise FloatingPointError(
            f"{method} diverged: {bad} of {images.numel()} values of its images are NaN or "
            "infinite, though every answer of the network was finite; take more steps, or another "
            "method, such as 'local_gaussian'."
        )
    return images


def _level(problem: Problem) -> str:
    levels = torch.as_tensor(problem.noise_std).flatten().tolist()
    return ", ".join(f"{level:g}" for level in levels)
