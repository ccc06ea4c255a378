"""What every method does before its own work: options, presets, class labels, checks."""

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.wrapped import WrappedDenoiser
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem

Method = Callable[..., Tensor]
Label = int | tuple[int, ...] | Literal["height"]
"""A class for all problems, or one each; ``height`` in a pipeline: that of every slice."""
Presets = Mapping[str, Mapping[str, Any]]


def method(**presets: Mapping[str, Any]) -> Callable[[Method], Method]:
    """Make a method of a function ``(problem, denoiser, noise, *, options) -> images``.

    The result takes three options more: ``preset``, a named set of options which those given
    explicitly override; ``label``, the class to draw, one for all problems or one each; and
    ``guidance``, the strength of classifier-free guidance (1 is the network's own conditional, and
    costs no second call).

    Args:
        presets: Options by the name of the preset, underscores standing for hyphens.
    """
    known = {name.strip("_").replace("_", "-"): options for name, options in presets.items()}

    def decorate(function: Method) -> Method:
        name = function.__name__
        signature = _with_common_options(inspect.signature(function), known)
        accepted = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]

        @functools.wraps(function)
        def run(
            problem: Problem,
            denoiser: Denoiser,
            noise: SampleNoise,
            *,
            preset: str | None = None,
            label: Label | None = None,
            guidance: float = 1.0,
            **options: Any,  # noqa: ANN401 - checked against the signature
        ) -> Tensor:
            for option in options:
                _require_name(option, accepted, f"{name} has no option")
            if preset is not None:
                _require_name(preset, known, f"{name} has no preset")
                options = {**known[preset], **options}
            _check_inputs(name, problem, denoiser, noise)
            with torch.no_grad():
                denoiser = _with_label(denoiser, label, guidance)
                return _finite(name, function(problem, denoiser, noise, **options))

        run.__signature__ = signature  # type: ignore[attr-defined]
        run.presets = known  # type: ignore[attr-defined]
        return run

    return decorate


def _finite(method: str, images: Tensor) -> Tensor:
    bad = int((~torch.isfinite(images)).sum())
    if bad:
        raise FloatingPointError(
            f"{method} diverged: {bad} of {images.numel()} values of its images are NaN or "
            "infinite, though every answer of the network was finite; take more steps, or another "
            "method, such as 'local_gaussian'."
        )
    return images


def require_noise_free(method: str, problem: Problem) -> None:
    """Raise if the measurement is noisy."""
    if problem.is_noisy:
        raise ValueError(
            f"{method} restores noise-free measurements but noise_std is {_level(problem)}; choose "
            "a method for noisy data, such as 'moment_matching', 'ddnm_plus' or 'diffpir'."
        )


def require_range(method: str, **options: tuple[float | int, float | int, float | int]) -> None:
    """Raise unless each option lies in its range.

    Args:
        method: For the error.
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
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{what} {name!r}; it can be {', '.join(sorted(known))}.{hint}")


def _check_inputs(name: str, problem: Problem, denoiser: Denoiser, noise: SampleNoise) -> None:
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
    if presets:
        names: Any = Literal[tuple(presets)]  # type: ignore[valid-type]
        common.insert(
            0, inspect.Parameter("preset", keyword, default=None, annotation=names | None)
        )
    return signature.replace(parameters=[*signature.parameters.values(), *common])
