"""Restoration methods: options, presets, class labels and checks around an algorithm."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser, as_denoiser, precision
from uqrestore.diffusion.schedules import Schedule
from uqrestore.diffusion.wrapped import WrappedDenoiser
from uqrestore.methods._checks import (
    check_inputs,
    check_kinds,
    require_choice,
    require_finite,
    require_name,
)
from uqrestore.noise import SampleNoise
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
            require_name(option, accepted, f"{self.name} has no option")
        preset, label = options.pop("preset", None), options.pop("label", None)
        guidance = options.pop("guidance", 1.0)
        own = inspect.signature(self.function).parameters
        options = _schedule_as_options(self.name, options, whole="schedule" in own)
        if preset is not None:
            require_name(preset, self.presets, f"{self.name} has no preset")
            options = {**self.presets[preset], **options}
        for option, value in options.items():
            require_choice(self.name, option, value, own)
        if "schedule" in own:
            parts = {key: options.pop(key) for key in SCHEDULE if key in options}
            options["schedule"] = dataclasses.replace(own["schedule"].default, **parts)
        check_kinds(self.name, problem, noise, self.general)
        denoiser = as_denoiser(denoiser, problem.in_shape)
        check_inputs(self.name, problem, denoiser, noise)
        if (dtype := precision(denoiser)) is not None and dtype != problem.y.dtype:
            problem = problem.to(dtype)
        with torch.no_grad():
            denoiser = _with_label(denoiser, label, guidance)
            return require_finite(self.name, self.function(problem, denoiser, noise, **options))


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
