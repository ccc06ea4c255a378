"""Types of the arguments of operators, checked against the annotations of their fields."""

import dataclasses
import functools
import inspect
import numbers
import types
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
from jaxtyping import AbstractArray
from torch import Tensor


def check_types(value: Any) -> None:  # noqa: ANN401 - a dataclass
    """Raise ``ValueError`` unless the arguments of a value are of the kinds of its fields.

    Shapes and values are left to the value itself, and so are annotations of other kinds.
    """
    for name, kind in _annotations(type(value)):
        given = getattr(value, name)
        if not _fits(kind, given):
            call = ", ".join(field.name for field in dataclasses.fields(value) if field.init)
            raise ValueError(
                f"{value.name}: {name} must be {_words(kind)} but is {_shown(given)}; the order is "
                f"{type(value).__name__}({call})."
            )


@functools.cache
def _annotations(kind: type) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.type) for field in dataclasses.fields(kind) if field.init)


def _fits(kind: Any, value: Any) -> bool:  # noqa: ANN401 - an annotation and what was given
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_fits(one, value) for one in args)
    if origin is Literal:
        return isinstance(value, tuple(type(one) for one in args))
    if origin is tuple:
        if not isinstance(value, tuple | list):
            return False
        kinds = args[:1] * len(value) if args[-1] is Ellipsis else args
        return len(value) == len(kinds) and all(map(_fits, kinds, value))
    if kind is types.NoneType:
        return value is None
    plain = {int: numbers.Integral, float: numbers.Real, bool: bool | np.bool_}.get(kind)
    if plain is not None:
        return isinstance(value, plain)
    if _is_array(kind):
        return isinstance(value, Tensor)
    # The operators inside an operator; classes of other libraries are the user's own affair.
    own = inspect.isclass(kind) and kind.__module__.startswith(__package__ or "")
    return isinstance(value, kind) if own else True


def _is_array(kind: Any) -> bool:  # noqa: ANN401
    return kind is Tensor or (inspect.isclass(kind) and issubclass(kind, AbstractArray))


def _words(kind: Any) -> str:  # noqa: ANN401
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        kept = [one for one in args if one is not int or float not in args]
        return " or ".join(dict.fromkeys(_words(one) for one in kept))
    if origin is Literal:
        return " or ".join(map(repr, args))
    if origin is tuple:
        many = _words(args[0]).removeprefix("a ").removeprefix("an ")
        return f"a tuple of {'' if args[-1] is Ellipsis else f'{len(args)} times '}{many}"
    if _is_array(kind):
        return "a tensor or NumPy array"
    plain = {int: "an integer", float: "a number", bool: "True or False", types.NoneType: "None"}
    return plain.get(kind, f"a {getattr(kind, '__name__', kind)}")


def _shown(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    text = repr(value)
    return f"{text} ({type(value).__name__})" if len(text) <= 40 else f"a {type(value).__name__}"
