"""Restoration methods: options, presets, class labels and checks around an algorithm."""

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

import torch
from torch import Tensor

from uqrestore._shared.text import did_you_mean
from uqrestore.diffusion.denoiser import Denoiser, as_denoiser, precision
from uqrestore.diffusion.schedules import Schedule
from uqrestore.diffusion.wrapped import WrappedDenoiser
from uqrestore.noise import Gaussian, SampleNoise, UncertainGaussian
from uqrestore.operators.nonlinear import UncertainOperator
from uqrestore.problem import GeneralProblem, Problem

Label = int | tuple[int, ...] | Literal["height"]
"""Class of all problems, or one per problem; ``height`` in a pipeline: the class by height."""
SCHEDULE = tuple(field.name for field in dataclasses.fields(Schedule))
"""Parts of a schedule, each of which is an option of its own too."""
Presets = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Method:
    """A restoration method: a function ``(problem, denoiser, noise, *, options) -> images``.

    Calling it checks the inputs, runs the function without gradients and refuses images that are
    not finite. It takes three options more than the function: ``preset``, a named set of options
    which explicit options override; ``label``, the class to draw, one for all problems or one
    per problem; and ``guidance``, the strength of classifier-free guidance (1 is the network's own
    conditional, and costs no second call). Every function with noise levels takes a ``schedule``;
    one that has a ``schedule`` also takes its parts, ``steps``, ``grid`` and ``sigmas``.

    Args:
        function: The algorithm.
        presets: Options by the name of the preset.
        general: Whether it takes a ``GeneralProblem``: nonlinear operators, any noise model.
    """

    function: Callable[..., Tensor]
    presets: Presets
    general: bool = False

    def __post_init__(self) -> None:
        # What help(), autodoc and inspect.signature look at, as functools.wraps does.
        shown = {
            "__doc__": self.function.__doc__,
            "__module__": self.function.__module__,
            "__name__": self.function.__name__,
            "__signature__": _with_common_options(inspect.signature(self.function), self.presets),
        }
        for name, value in shown.items():
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """Name in the registry."""
        return self.function.__name__

    def __call__(
        self,
        problem: Problem | GeneralProblem,
        denoiser: Denoiser | Callable[..., Tensor],
        noise: SampleNoise,
        **options: Any,  # noqa: ANN401 - checked against the signature
    ) -> Tensor:
        """Draw images of shape ``(*noise.shape, *problem.in_shape)``.

        Raises:
            ValueError: If an option or preset does not exist, or the inputs do not fit together.
            FloatingPointError: If the denoiser or the method returns NaN or infinity.
        """
        parameters = inspect.signature(self).parameters.values()
        accepted = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        for option in options:
            _require_name(option, accepted, f"{self.name} has no option")
        preset, label = options.pop("preset", None), options.pop("label", None)
        guidance = options.pop("guidance", 1.0)
        own = inspect.signature(self.function).parameters
        options = _schedule_as_options(self.name, options, whole="schedule" in own)
        if preset is not None:
            _require_name(preset, self.presets, f"{self.name} has no preset")
            options = {**self.presets[preset], **options}
        if "schedule" in own:
            parts = {key: options.pop(key) for key in SCHEDULE if key in options}
            options["schedule"] = dataclasses.replace(own["schedule"].default, **parts)
        _check_kinds(self.name, problem, noise, self.general)
        denoiser = as_denoiser(denoiser, problem.in_shape)
        _check_inputs(self.name, problem, denoiser, noise)
        if (dtype := precision(denoiser)) is not None and dtype != problem.y.dtype:
            problem = problem.to(dtype)
        with torch.no_grad():
            denoiser = _with_label(denoiser, label, guidance)
            return _finite(self.name, self.function(problem, denoiser, noise, **options))


def method(
    *, general: bool = False, **presets: Mapping[str, Any]
) -> Callable[[Callable[..., Tensor]], Method]:
    """Make a :class:`Method` of a function.

    Args:
        general: As of :class:`Method`.
        presets: Options by the name of the preset: underscores stand for hyphens, and a leading
            one is left out, so that a name may begin with a digit.
    """
    known = {name.strip("_").replace("_", "-"): options for name, options in presets.items()}
    return lambda function: Method(function, known, general)


def _finite(method: str, images: Tensor) -> Tensor:
    bad = int((~torch.isfinite(images)).sum())
    if bad:
        raise FloatingPointError(
            f"{method} diverged: {bad} of {images.numel()} values of its images are NaN or "
            "infinite, though every answer of the network was finite; take more steps, or another "
            "method, such as 'local_gaussian'."
        )
    return images


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


def _level(problem: Problem) -> str:
    levels = torch.as_tensor(problem.noise_std).flatten().tolist()
    return ", ".join(f"{level:g}" for level in levels)


def _require_name(name: str, known: Collection[str], what: str) -> None:
    if name not in known:
        hint = did_you_mean(name, known)
        raise ValueError(f"{what} {name!r}; it can be {', '.join(sorted(known))}.{hint}")


def _check_kinds(name: str, problem: object, noise: object, general: bool) -> None:
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


def _check_inputs(
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


class _Labelled(WrappedDenoiser):
    """A denoiser of one class, sharpened by classifier-free guidance.

    References:
        Ho & Salimans, "Classifier-free diffusion guidance", 2022, eq. 6. arXiv:2207.12598
    """

    def __init__(self, inner: Denoiser, label: int | tuple[int, ...], guidance: float) -> None:
        super().__init__(inner)
        self._label, self._guidance = label, guidance

    def __call__(
        self,
        x_t: Tensor,
        sigma: Tensor,
        problem: Problem | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        if label is None:
            label = torch.tensor(self._label, device=x_t.device)
        wanted = self.inner(x_t, sigma, problem, label)
        if self._guidance == 1:
            return wanted
        plain = self.inner(x_t, sigma, problem)
        return plain + self._guidance * (wanted - plain)


def _schedule_as_options(name: str, options: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """Return options with the parts of a schedule in its place, which override a preset's.

    Args:
        name: The method.
        options: Given by the user.
        whole: Whether the method has all parts; otherwise its levels become ``sigmas``.
    """
    schedule = options.get("schedule")
    if schedule is None:
        return options
    both = sorted(set(options) & set(SCHEDULE))
    if both:
        raise ValueError(f"{name}: schedule states {', '.join(both)} already; give one of them.")
    rest = {key: value for key, value in options.items() if key != "schedule"}
    if not whole:
        return rest | {"sigmas": schedule.levels()}
    return rest | {key: getattr(schedule, key) for key in SCHEDULE}


def _with_label(denoiser: Denoiser, label: Label | None, guidance: float) -> Denoiser:
    if label == "height":
        raise ValueError("label='height' is for pipelines, where heights are known; give classes.")
    if label is None:
        if guidance != 1:
            raise ValueError(
                f"guidance={guidance:g} sharpens a class but no label is given; add label=..."
            )
        return denoiser
    return _Labelled(denoiser, label, guidance)


def _with_common_options(signature: inspect.Signature, presets: Presets) -> inspect.Signature:
    keyword = inspect.Parameter.KEYWORD_ONLY
    common = [
        inspect.Parameter("label", keyword, default=None, annotation=Label | None),
        inspect.Parameter("guidance", keyword, default=1.0, annotation=float),
    ]
    if "sigmas" in signature.parameters:
        one = inspect.Parameter("schedule", keyword, default=None, annotation=Schedule | None)
        common.insert(0, one)
    own: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        own.append(parameter)
        if parameter.name == "schedule":  # pipelines state its parts
            hints = get_type_hints(Schedule)
            own += [
                inspect.Parameter(
                    key, keyword, default=getattr(parameter.default, key), annotation=hints[key]
                )
                for key in SCHEDULE
            ]
    if presets:
        names: Any = Literal[tuple(presets)]  # type: ignore[valid-type]
        common.insert(
            0, inspect.Parameter("preset", keyword, default=None, annotation=names | None)
        )
    return signature.replace(parameters=[*own, *common])
