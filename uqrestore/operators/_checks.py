"""Shapes, precision and error messages shared by all operators."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Shape = tuple[int, ...]
Index = int | slice | Sequence[int] | Tensor
Seed = int | torch.Generator
Value = TypeVar("Value")
Method = TypeVar("Method", bound=Callable[..., Tensor])


def require(condition: bool | Tensor, operator: str, message: str) -> None:
    """Raise ``ValueError`` naming the operator unless the condition holds everywhere."""
    if not (bool(condition.all()) if isinstance(condition, Tensor) else condition):
        raise ValueError(f"{operator}: {message}")


def check_per_problem(operator: str, field: str, value: Tensor, problem: Shape) -> None:
    """Raise unless a value is one for all problems, or one per problem."""
    require(
        value.shape in ((), (1,) * len(problem), problem),
        operator,
        f"{field} must be one value or one per problem, of shape {problem}, but has shape "
        f"{tuple(value.shape)}.",
    )


def as_generator(seed: Seed) -> torch.Generator:
    """Return the generator of a seed; a generator comes back as it is, to draw on from."""
    is_one = isinstance(seed, torch.Generator)
    return seed if is_one else torch.Generator().manual_seed(int(seed))


def same(operator: str, field: str, values: Sequence[Any]) -> None:
    """Raise unless the operators of one batch agree in a parameter."""
    if any(value != values[0] for value in values):
        raise ValueError(
            f"{operator}: operators of one batch must share {field} but it is "
            f"{', '.join(map(str, dict.fromkeys(values)))}; put them in a Mixed batch instead."
        )


def pick(operator: str, problem: Shape, values: Sequence[Value], index: Index) -> Any:  # noqa: ANN401
    """Index plain values, one per problem: an int returns one value, anything else a tuple.

    Raises:
        IndexError: If the operator is a single one, or has no such problem.
    """
    if not problem:
        raise IndexError(f"{operator} is a single operator; it has no problems to select.")
    if isinstance(index, int):
        return values[index]
    at = index if isinstance(index, slice | Tensor) else list(index)
    return tuple(values[i] for i in torch.arange(problem[0])[at].tolist())


def full_precision(method: Method) -> Method:
    """Run a map in float32 or better, and return the floating-point type of its input.

    Transforms and solves are inaccurate in half precision, so autocast is switched off.
    """

    @functools.wraps(method)
    def run(self: object, value: Tensor) -> Tensor:
        kind = value.device.type
        half = value.dtype in (torch.float16, torch.bfloat16)
        autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        if not (half or autocast):
            return method(self, value)
        with torch.autocast(kind, enabled=False) if autocast else contextlib.nullcontext():
            return method(self, value.float() if half else value).to(value.dtype)

    return cast(Method, run)
