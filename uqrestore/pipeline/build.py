"""Operators of pipelines, built from names and options."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uqrestore._shared.named import find_named
from uqrestore.noise import NOISE_MODELS, NoiseModel
from uqrestore.operators import stack_operators
from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.operators.in_pipelines import UNKNOWN_PARAMETERS
from uqrestore.operators.masks import MASKS
from uqrestore.operators.nonlinear import NonlinearOperator
from uqrestore.pipeline.check import (
    MASK_INPUTS,
    OPERATOR_INPUTS,
    UNKNOWN_INPUTS,
    all_operators,
    typed_options,
)
from uqrestore.pipeline.parts import NoisePart, OperatorPart, UnknownPart


def build_operator(
    part: OperatorPart, in_shape: Shape, slices: Sequence[int]
) -> LinearOperator | NonlinearOperator:
    """Return the operator that measures slices of a scan.

    Args:
        part: Name, options and mask pattern.
        in_shape: ``(channel, row, column)`` of a slice.
        slices: Indices of the slices on the model grid. A mask that is drawn per slice depends
            on its index alone, whichever others are restored.

    Returns:
        One operator for all slices, or a batch with one problem a slice where the mask is drawn
        per slice.

    Raises:
        ValueError: If the operator does not act on slices of this shape, or its mask measures
            nothing.
    """
    kind = find_named(part.name, all_operators(), "operator")
    options = typed_options(("operator",), part.name, part.options, kind, OPERATOR_INPUTS)
    accepted = inspect.signature(kind).parameters
    options |= {name: in_shape for name in ("shape", "in_shape") if name in accepted}
    if part.mask is not None and part.mask.per_slice:
        rows = [_measure_with(kind, part, in_shape, options, (row,)) for row in slices]
        operator = stack_operators([row for row in rows if isinstance(row, LinearOperator)])
    elif part.mask is not None:
        operator = _measure_with(kind, part, in_shape, options, ())
    else:
        operator = kind(**options)
    if operator.in_shape != in_shape:
        raise ValueError(
            f"operator: {part.name} acts on images of shape {operator.in_shape} but the prior "
            f"makes images of shape {in_shape}; change the operator's options or the prior."
        )
    return operator


def build_noise(part: NoisePart) -> NoiseModel:
    """Return the noise model of a pipeline.

    Raises:
        ValueError: If a parameter is outside its support.
    """
    kind = NOISE_MODELS[part.model]
    return kind(**typed_options(("noise",), part.model, part.options, kind, ()))


def with_unknown(
    part: UnknownPart | None, operator: LinearOperator | NonlinearOperator
) -> LinearOperator | NonlinearOperator:
    """Return a measurement with the unknown parameters of a pipeline, if it has any.

    Raises:
        ValueError: If these parameters are not those of such a measurement.
    """
    if part is None:
        return operator
    kind = find_named(part.name, UNKNOWN_PARAMETERS, "unknown parameter")
    options = typed_options(("unknown",), part.name, part.options, kind, UNKNOWN_INPUTS)
    return kind(operator, **options)


def _measure_with(
    kind: Callable[..., LinearOperator | NonlinearOperator],
    operator: OperatorPart,
    in_shape: Shape,
    options: dict[str, Any],
    slice_key: tuple[int, ...],
) -> LinearOperator | NonlinearOperator:
    part = operator.mask
    assert part is not None  # as asked before
    pattern = find_named(part.law, MASKS, "mask law")
    chosen = typed_options(("operator", "mask"), part.law, part.options, pattern, MASK_INPUTS)
    mask: Tensor = pattern(in_shape[-2:], **chosen, seed=_generator(part.seed, *slice_key))
    if operator.name == "inpainting":
        mask = mask.expand(in_shape)  # all channels of a voxel are seen, or none
    options = {"mask": mask, **options}
    return kind(**options)


def _generator(*key: int) -> torch.Generator:
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64).item()
    return torch.Generator().manual_seed(seed)
