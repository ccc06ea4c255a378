"""Check of the names and options of a pipeline against the registries.

A step of its own, since the registries need torch and reading a file does not.
"""

import functools
import inspect
import os
import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic

from uqrestore._shared.named import Named, find_named
from uqrestore.pipeline.find import find_pipeline
from uqrestore.pipeline.kinds import KINDS, BenchmarkPipeline, RestorePipeline, TrainPipeline
from uqrestore.pipeline.parts import (
    BaselinePart,
    MaskPart,
    MethodPart,
    NoisePart,
    OperatorPart,
    Part,
    Pipeline,
    PriorPart,
    UnknownPart,
)
from uqrestore.pipeline.reading import (
    KeyPath,
    Kind,
    can_be,
    fault,
    key_lines,
    read_pipeline,
)

# Arguments that the program supplies to each kind of thing; all others are options of a file.
METHOD_INPUTS = frozenset({"problem", "denoiser", "noise", "schedule"})
OPERATOR_INPUTS = frozenset({"shape", "in_shape", "problems", "mask"})
MASK_INPUTS = frozenset({"shape", "seed"})
NETWORK_INPUTS = frozenset({"image_shape"})
BASELINE_INPUTS = frozenset({"problem"})
UNKNOWN_INPUTS = frozenset({"part"})

LARGEST_INTEGER = 2**63 - 1


class NameFault(ValueError):
    """A name or an option that no registry knows.

    Args:
        key: Where in the pipeline.
        text: What is wrong and what it can be.
    """

    def __init__(self, key: KeyPath, text: str) -> None:
        super().__init__(f"{'.'.join(map(str, key))}: {text}")
        self.key, self.text = key, text


def load_pipeline(name: str | os.PathLike[str], kind: type[Kind]) -> Kind:
    """Read a pipeline by name or path and check all that can be checked before the work starts.

    Args:
        name: Name of a bundled pipeline, or the path of a YAML file.
        kind: ``RestorePipeline``, ``TrainPipeline`` or ``BenchmarkPipeline``.

    Raises:
        PipelineError: With file, line, key, what was wanted and the nearest valid name.
    """
    path = find_pipeline(name)
    pipeline = read_pipeline(path)
    if not isinstance(pipeline, kind):
        found, wanted = (
            next(word for word, known in KINDS.items() if known is this)
            for this in (type(pipeline), kind)
        )
        text = f"is {found!r}, but a pipeline of kind {wanted!r} is wanted here."
        raise fault(path, key_lines(path), ("kind",), text)
    try:
        check_names(pipeline)
    except NameFault as error:
        raise fault(path, key_lines(path), error.key, error.text) from None
    return pipeline


def check_names(pipeline: Pipeline) -> None:
    """Raise ``NameFault`` at the first name or option that does not exist."""
    for key, part in _parts(pipeline):
        if isinstance(part, OperatorPart):
            _check_operator(key, part)
        elif isinstance(part, MethodPart):
            check_method(key, part)
        elif isinstance(part, BaselinePart):
            _check_baseline(key, part)
        elif isinstance(part, NoisePart):
            _check_noise(key, part)
        elif isinstance(part, UnknownPart):
            from uqrestore.operators.in_pipelines import UNKNOWN_PARAMETERS

            kind = _named((*key, "name"), part.name, UNKNOWN_PARAMETERS, "unknown parameter")
            typed_options(key, part.name, part.options, kind, UNKNOWN_INPUTS)
        elif isinstance(part, PriorPart):
            factory = _named((*key, "name"), part.name, {}, "prior")
            typed_options(key, part.name, part.options, factory, ())
    if isinstance(pipeline, RestorePipeline):
        from uqrestore.pipeline.physics import physics_fault

        if fault_found := physics_fault(pipeline):
            raise NameFault(*fault_found)
    if isinstance(pipeline, TrainPipeline):
        from uqrestore.networks import BACKBONES

        part = pipeline.network
        kind = _named(("network", "name"), part.name, BACKBONES, "backbone")
        typed_options(("network",), part.name, part.options, kind, NETWORK_INPUTS)


def typed_options(
    key: KeyPath,
    name: str,
    options: Mapping[str, Any],
    function: Callable[..., Any],
    supplied: Collection[str],
) -> dict[str, Any]:
    """Return options as the types that ``function`` declares.

    Args:
        key: Place of the options in the file, for the error.
        name: Name of the function in the file, for the error.
        options: As read from the file.
        function: Its arguments that hold plain data are the options.
        supplied: Arguments that the program supplies, such as :data:`METHOD_INPUTS`.

    Raises:
        NameFault: If an option is unknown, of the wrong type, or missing.
    """
    accepted = _options_of(function, frozenset(supplied))
    typed = {}
    for option, value in options.items():
        if option not in accepted:
            raise NameFault((*key, option), f"{name} has no {option!r}; {can_be(option, accepted)}")
        try:
            typed[option] = accepted[option].read(value)
            if isinstance(typed[option], int) and abs(typed[option]) > LARGEST_INTEGER:
                raise NameFault((*key, option), f"must be below 2^63, got {value!r}.")
        except pydantic.ValidationError as error:
            text = error.errors(include_url=False)[0]["msg"].removeprefix("Input ")
            raise NameFault((*key, option), f"{text}, got {reprlib.repr(value)}.") from None
    missing = [o for o, known in accepted.items() if known.required and o not in typed]
    if missing:
        raise NameFault(key, f"{name} needs {', '.join(missing)}; add it.")
    return typed


@dataclass(frozen=True)
class _Option:
    """One option of a named thing.

    Attributes:
        read: Converts the value of the file to the declared type, or raises.
        required: Whether there is no default.
    """

    read: Callable[[Any], Any]
    required: bool


@functools.cache  # schemas take longer to build than a step of a small prior
def _options_of(function: Callable[..., Any], supplied: frozenset[str]) -> dict[str, _Option]:
    from uqrestore.noise.base import Parameter

    options = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in supplied:
            continue
        kind: Any = parameter.annotation
        if kind == Parameter:  # a number, or a tensor from Python
            kind = Annotated[float, pydantic.Field(allow_inf_nan=False)]
        try:
            adapter = pydantic.TypeAdapter(kind)
        except pydantic.errors.PydanticSchemaGenerationError:
            continue  # no file holds a tensor or a function
        options[name] = _Option(adapter.validate_python, parameter.default is parameter.empty)
    return options


def _needs_tensors(function: Callable[..., Any]) -> list[str]:
    """Return the arguments of an operator that must be given and that a file cannot hold."""
    options = _options_of(function, OPERATOR_INPUTS)
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in options
        and name not in OPERATOR_INPUTS
        and parameter.default is parameter.empty
    ]


def _parts(pipeline: Pipeline) -> Iterator[tuple[KeyPath, Part]]:
    if isinstance(pipeline, RestorePipeline | BenchmarkPipeline) and isinstance(
        pipeline.prior, PriorPart
    ):
        yield ("prior",), pipeline.prior
    if isinstance(pipeline, RestorePipeline):
        for name in ("operator", "noise", "unknown"):
            if (part := getattr(pipeline, name)) is not None:
                yield (name,), part
        yield ("method",), pipeline.method
        for index, baseline in enumerate(pipeline.baselines):
            yield ("baselines", index), baseline
    if isinstance(pipeline, BenchmarkPipeline):
        for label, operator in pipeline.operators.items():
            yield ("operators", label), operator
        for label, method in pipeline.methods.items():
            yield ("methods", label), method


def all_operators() -> dict[str, Callable[..., Any]]:
    """Return the constructors of operators for pipelines, linear or not."""
    from uqrestore.operators import PIPELINE_OPERATORS
    from uqrestore.operators.in_pipelines import NONLINEAR_PIPELINE_OPERATORS

    return {**PIPELINE_OPERATORS, **NONLINEAR_PIPELINE_OPERATORS}


def _check_operator(key: KeyPath, part: OperatorPart) -> None:
    kind = _named((*key, "name"), part.name, all_operators(), "operator")
    typed_options(key, part.name, part.options, kind, OPERATOR_INPUTS)
    if tensors := _needs_tensors(kind):
        raise NameFault(
            (*key, "name"),
            f"{part.name} needs {', '.join(tensors)}, which a pipeline cannot hold; use it from "
            "Python.",
        )
    wants_mask = "mask" in inspect.signature(kind).parameters
    if wants_mask and part.mask is None:
        raise NameFault(key, f"{part.name} needs a mask; add 'mask: {{law: ...}}'.")
    if part.mask is not None and not wants_mask:
        raise NameFault((*key, "mask"), f"{part.name} has no mask; remove it.")
    if part.mask is not None:
        _check_mask((*key, "mask"), part.mask)


def _check_mask(key: KeyPath, part: MaskPart) -> None:
    from uqrestore.operators.masks import MASKS

    pattern = _named((*key, "law"), part.law, MASKS, "mask law")
    typed_options(key, part.law, part.options, pattern, MASK_INPUTS)


def check_method(key: KeyPath, part: MethodPart) -> None:
    """Raise ``NameFault`` if there is no such method, or it has no such option."""
    from uqrestore.methods import METHODS

    method = _named((*key, "name"), part.name, METHODS, "method")
    typed_options(key, part.name, part.options, method, METHOD_INPUTS)


def _check_noise(key: KeyPath, part: NoisePart) -> None:
    from uqrestore.noise import NOISE_MODELS

    if part.model not in NOISE_MODELS:
        text = f"there is no noise model {part.model!r}; {can_be(part.model, NOISE_MODELS)}"
        raise NameFault((*key, "model"), text)
    kind = NOISE_MODELS[part.model]
    options = typed_options(key, part.model, part.options, kind, ())
    try:
        kind(**options)
    except ValueError as error:
        raise NameFault(key, str(error)) from None


def _check_baseline(key: KeyPath, part: BaselinePart) -> None:
    from uqrestore.baselines import BASELINES

    known = {**BASELINES, "zero_filled": _zero_filled}
    if part.name not in known:
        raise NameFault(key, f"there is no baseline {part.name!r}; {can_be(part.name, known)}")
    typed_options(key, part.name, part.options, known[part.name], BASELINE_INPUTS)


def _zero_filled(problem: object) -> None:
    """Stand for the image that every posterior file holds, which has no options."""


def _named(key: KeyPath, name: str, registry: Mapping[str, Named], what: str) -> Named:
    try:
        return find_named(name, registry, what)
    except ValueError as error:
        raise NameFault(key, str(error)) from error
