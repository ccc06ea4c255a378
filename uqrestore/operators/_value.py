"""Frozen values made of tensors: moving, selecting, joining and writing them."""

import abc
import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from uqrestore.operators._arrays import as_tensor
from uqrestore.operators._checks import Index, Shape, pick, same
from uqrestore.operators._fields import check_types

SHARED = {"shared": True}
"""Metadata of a tensor field that is the same for every problem of the batch."""

Whole = TypeVar("Whole")
"""The type of copies: the base class of a family of values."""


class TensorValue(abc.ABC, Generic[Whole]):
    """A frozen dataclass of tensors, whose leading dimensions are a batch, and of plain values.

    Tensors of fields with ``metadata=SHARED`` are the same for the whole batch; fields with
    ``init=False`` are computed once, at construction.
    """

    name: ClassVar[str]

    @property
    @abc.abstractmethod
    def problem_shape(self) -> Shape: ...

    def __post_init__(self) -> None:
        """Copy NumPy arrays into tensors and check types; subclasses call this first.

        Raises:
            ValueError: If an argument is of another kind than its field.
        """
        for field in _fields(self):
            value = getattr(self, field.name) if field.init else None
            if isinstance(value, np.ndarray):
                object.__setattr__(self, field.name, as_tensor(value.copy()))
        check_types(self)

    @property
    def device(self) -> torch.device:
        """Device of the tensors; the CPU if there are none."""
        tensors = (v for v in vars(self).values() if isinstance(v, Tensor))
        return next((v.device for v in tensors), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the stored numbers and of :attr:`Spectrum.s`; float32 by default.

        Images of any floating-point type are accepted, whatever this type.
        """
        tensors = (v for v in vars(self).values() if isinstance(v, Tensor))
        kinds = (v.dtype for v in tensors if v.is_floating_point() or v.is_complex())
        return next((kind.to_real() for kind in kinds), torch.float32)

    def to(self, target: torch.device | torch.dtype | str) -> Whole:
        """Return a copy on a device, or with its numbers in another floating-point type."""
        if not isinstance(target, torch.dtype):
            return self._with_tensors(lambda _, value: value.to(target))

        def convert(_: str, value: Tensor) -> Tensor:
            if value.is_complex():
                return value.to(target.to_complex())
            return value.to(target) if value.is_floating_point() else value

        return self._with_tensors(convert)

    def select(self, index: Index) -> Whole:
        """Return the operator of one problem (an int) or of a sub-batch (slice, list, tensor)."""
        pick(self.name, self.problem_shape, range(sum(self.problem_shape)), index)
        own = {f.name for f in _fields(self) if not f.metadata.get("shared")}
        at = index if isinstance(index, int | slice | Tensor) else list(index)
        return self._with_tensors(lambda name, value: value[at] if name in own else value)

    @classmethod
    def concatenate(cls, parts: Sequence[Any]) -> Whole:
        """Join batches of this kind along the problem axis; see :func:`stack_operators`."""
        first = parts[0]
        changes: dict[str, Any] = {}
        for field in _fields(first):
            values = [getattr(part, field.name) for part in parts]
            if not field.init or field.metadata.get("shared"):
                continue
            if isinstance(values[0], Tensor):
                rows = [_batched(o.problem_shape, v) for o, v in zip(parts, values, strict=True)]
                same(cls.name, field.name, [tuple(row.shape[1:]) for row in rows])
                changes[field.name] = torch.cat(rows)
            else:
                same(cls.name, field.name, values)
        return dataclasses.replace(first, **changes).to(first.dtype)

    def group_key(self) -> tuple[Any, ...]:
        """Return what must be equal for :func:`stack_operators` to join two operators."""
        key: list[Any] = [self.name]
        for field in _fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor) and field.init:
                key.append(tuple(value.shape[len(self.problem_shape) :]))
            elif field.init:
                key.append(value)
        return tuple(key)

    def to_data(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return plain parameters and arrays from which ``operators.from_data`` rebuilds this.

        Arrays of operators inside are named by their field and place, such as ``parts.0.mask``.
        """
        params: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        for field in _fields(self):
            value = getattr(self, field.name)
            if not field.init:
                continue
            if isinstance(value, Tensor):
                arrays[field.name] = value.detach().cpu().numpy()
            elif isinstance(value, TensorValue):
                params[field.name] = _part_to_data(value, field.name, arrays)
            elif _parts(value):
                params[field.name] = [
                    _part_to_data(part, f"{field.name}.{i}", arrays) for i, part in enumerate(value)
                ]
            else:
                params[field.name] = value
        return params, arrays

    @classmethod
    def from_data(cls, params: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Whole:
        """Rebuild an operator of this kind from :meth:`to_data`."""
        fields: dict[str, Any] = {}
        for key, value in params.items():
            if isinstance(value, Mapping):
                fields[key] = _part_from_data(value, key, arrays)
            elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
                fields[key] = tuple(
                    _part_from_data(part, f"{key}.{i}", arrays) for i, part in enumerate(value)
                )
            else:
                fields[key] = _tuples(value)
        own = {key: torch.as_tensor(value) for key, value in arrays.items() if "." not in key}
        return cast(Whole, cls(**fields, **own))

    def _with_tensors(self, change: Callable[[str, Tensor], Tensor]) -> Whole:
        """Copy with every tensor changed, without computing again what construction computed."""
        new: Any = copy.copy(self)
        vars(new).clear()
        for field in _fields(self):
            value = getattr(self, field.name)
            value = change(field.name, value) if isinstance(value, Tensor) else value
            object.__setattr__(new, field.name, value)
        return new


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:  # noqa: ANN401 - a dataclass
    return dataclasses.fields(value)


def _batched(problem: Shape, value: Tensor) -> Tensor:
    return value if problem else value[None]


def _parts(value: Any) -> bool:  # noqa: ANN401 - the value of a field
    """Return True for a tuple of operators."""
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], TensorValue)


def _part_to_data(
    part: TensorValue[Any], place: str, arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Return name and parameters of an operator inside, and add its arrays."""
    params, own = part.to_data()
    arrays |= {f"{place}.{key}": value for key, value in own.items()}
    return {"name": part.name, "params": params}


def _part_from_data(
    part: Mapping[str, Any], place: str, arrays: Mapping[str, np.ndarray]
) -> TensorValue[Any]:
    from uqrestore.operators import from_data

    start = f"{place}."
    own = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
    return from_data(part["name"], part["params"], own)


def _tuples(value: Any) -> Any:  # noqa: ANN401 - JSON
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
