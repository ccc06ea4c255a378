# ruff: noqa: ANN401 - what torch dispatches is of any type
"""A device that is not the CPU, for machines without one.

Tensors of it compute on the CPU, and refuse what an accelerator refuses: operands of two devices, a
NumPy array without ``.cpu()``. So everything that runs here puts its constants where its data are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("lazy:0")  # nothing of torch starts it, nothing here is built for it
aten: Any = torch.ops.aten
CPU_INDICES = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
"""Operations whose indices may stay on the CPU."""
COPIES = {aten.copy_.default, aten.copy.default}


class Elsewhere(Tensor):
    """A tensor with values on the CPU that is of another device."""

    on_cpu: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls: type, values: Tensor) -> "Elsewhere":
        values = values.resolve_conj().resolve_neg()  # the bits of lazy views are not the wrapper's
        made: Elsewhere = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
        )
        made.on_cpu = values
        return made

    def tolist(self) -> Any:
        """Return the values as Python's numbers, as every device does."""
        return self.on_cpu.tolist()

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"Elsewhere({self.on_cpu!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class Operations(TorchDispatchMode):
    """Operations, of which some make tensors or move them."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class FromNumbers(TorchFunctionMode):
    """Tensors of Python's numbers, which torch would make on the device at once."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in {torch.tensor, torch.as_tensor} and not isinstance(args[0], Tensor):
            device = kwargs.pop("device", None)
            made = func(*args, **kwargs)
            return made if device is None else made.to(device)
        if func is Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return torch.tensor(args[1], dtype=args[0].dtype).to(DEVICE)
        if func in {Tensor.__getitem__, Tensor.__setitem__} and isinstance(args[0], Elsewhere):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            index = tuple(torch.tensor(i) if isinstance(i, list) else i for i in index)
            args = (args[0], index, *args[2:])
        return func(*args, **kwargs)


@contextmanager
def other_device() -> Iterator[None]:
    """Let tensors be made on ``DEVICE`` and moved to it."""
    with Operations(), FromNumbers():
        yield


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU, and give the result to the device of the operands.

    Raises:
        RuntimeError: If operands are of two devices.
    """
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
    there = [t for t in tensors if isinstance(t, Elsewhere)]
    target = kwargs.pop("device", None)
    if target is not None:
        target = torch.device(target)
    moves = target is not None
    if there and not moves:
        here = [
            t
            for t in tensors
            if not isinstance(t, Elsewhere) and t.ndim and t.layout == torch.strided
        ]
        if func in CPU_INDICES:
            here = [] if isinstance(args[0], Elsewhere) else here
        if here and func not in COPIES:
            raise RuntimeError(
                f"{func}: operands on {DEVICE} of {[tuple(t.shape) for t in there]} and on the CPU "
                f"of {[tuple(t.shape) for t in here]}."
            )
    plain_args, plain_kwargs = tree_map(_values, (args, kwargs))
    out = func(*plain_args, **plain_kwargs)
    into = args[0] if args and isinstance(args[0], Tensor) else None
    if func in COPIES and into is not None:
        return into
    if moves and target.type == "cpu":
        return out
    if there or (moves and target.type == DEVICE.type):
        out = tree_map(_elsewhere, out)
        return return_and_correct_aliasing(func, args, kwargs, out) if there and not moves else out
    return out


def _elsewhere(result: Any) -> Any:
    """Give a result to the device; sparse ones, which no wrapper can be made of, are of any."""
    dense = isinstance(result, Tensor) and result.layout == torch.strided
    return Elsewhere(result) if dense else result


def _values(given: Any) -> Any:
    return given.on_cpu if isinstance(given, Elsewhere) else given
