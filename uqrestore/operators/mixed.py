"""Batches of operators of different kinds."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from uqrestore.operators._checks import Index, Shape, pick, require
from uqrestore.operators._compound import Compound
from uqrestore.operators.algebra import flat_row_mask
from uqrestore.operators.base import SHARED, LinearOperator, stack_operators
from uqrestore.operators.padded import Padded
from uqrestore.operators.spectrum import Spectrum

Rows = Float[Tensor, "*batch rows"]


@dataclass(frozen=True, eq=False)
class Mixed(Compound):
    """A batch whose problems are of different kinds; made by :func:`mix`.

    Each kind runs once, on all its problems, and the results return to their places. Measurements
    are vectors as long as the longest, padded with zeros (False in ``row_mask``).

    Args:
        parts: One batch of operators for each kind.
        positions: For each part, the indices of its problems in the batch.
        rows: Length of a measurement; that of the longest part by default.

    Raises:
        ValueError: If the parts see images of different shapes, or the positions are not those
            of one batch.
    """

    name: ClassVar[str] = "mixed"
    shapes: ClassVar[str] = "that of every part -> (rows,), padded to the longest"

    parts: tuple[LinearOperator, ...]
    positions: tuple[tuple[int, ...], ...]
    rows: int = 0
    _order: Int[Tensor, " problem"] = field(init=False, repr=False, metadata=SHARED)
    _places: Int[Tensor, " problem"] = field(init=False, repr=False, metadata=SHARED)

    def __post_init__(self) -> None:
        super().__post_init__()
        shapes = [part.in_shape for part in self.parts]
        require(
            len(set(shapes)) == 1,
            self.name,
            f"all problems must have images of one shape but they have {shapes}.",
        )
        flat = [at for positions in self.positions for at in positions]
        require(
            sorted(flat) == list(range(len(flat)))
            and [part.problem_shape for part in self.parts] == [(len(p),) for p in self.positions],
            self.name,
            f"positions {self.positions} must name every problem once, as many for each part as "
            "it holds; use mix() to group a list of operators.",
        )
        longest = max(self._counts)
        require(
            self.rows in (0, *range(longest, max(longest, self.rows) + 1)),
            self.name,
            f"rows must be at least {longest}, that of the longest part, but got {self.rows}.",
        )
        object.__setattr__(self, "rows", self.rows or longest)
        order = torch.tensor(flat, device=self.device)
        object.__setattr__(self, "_order", order)
        object.__setattr__(self, "_places", order.argsort())

    @functools.cached_property
    def _counts(self) -> list[int]:
        return [torch.Size(part.out_shape).numel() for part in self.parts]

    @functools.cached_property
    def _sizes(self) -> list[int]:
        return [len(positions) for positions in self.positions]

    def _sorted_by_part(self, value: Tensor, axis: int) -> Sequence[Tensor]:
        """Split a batch into the problems of each part."""
        return value.index_select(axis, self._order).split(self._sizes, axis)

    def _joined(self, values: Sequence[Tensor], axis: int) -> Tensor:
        """Join the results of the parts in the order of the batch."""
        return torch.cat(tuple(values), axis).index_select(axis, self._places)

    @property
    def exact_pinv(self) -> bool:  # type: ignore[override]
        return all(part.exact_pinv for part in self.parts)

    @property
    def in_shape(self) -> Shape:
        return self.parts[0].in_shape

    @property
    def out_shape(self) -> Shape:
        return (self.rows,)

    @property
    def problem_shape(self) -> Shape:
        return (len(self._order),)

    @property
    def row_mask(self) -> Bool[Tensor, "problem rows"]:
        return self._joined(
            [_pad(flat_row_mask(part, part.problem_shape), self.rows) for part in self.parts], 0
        )

    @property
    def singular_value(self) -> float | None:
        values = {part.singular_value for part in self.parts}
        return values.pop() if len(values) == 1 else None

    def forward(self, x: Tensor) -> Rows:
        axis = x.ndim - len(self.in_shape) - 1
        images = zip(self.parts, self._sorted_by_part(x, axis), strict=True)
        rows = [_pad(part.forward(own).flatten(axis + 1), self.rows) for part, own in images]
        return self._joined(rows, axis)

    def adjoint(self, y: Rows) -> Tensor:
        return self._back(y, [part.adjoint for part in self.parts])

    def pinv(self, y: Rows) -> Tensor:
        return self._back(y, [part.pinv for part in self.parts])

    def _back(self, y: Rows, maps: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
        axis = y.ndim - 2
        rows = zip(self.parts, maps, self._sorted_by_part(y, axis), self._counts, strict=True)
        images = [
            back(own[..., :count].unflatten(-1, part.out_shape)) for part, back, own, count in rows
        ]
        return self._joined(images, axis)

    def rank(self) -> Tensor | None:
        ranks = [part.rank() for part in self.parts]
        if any(rank is None for rank in ranks):
            return None
        return self._joined([rank for rank in ranks if rank is not None], 0)

    def spectral(self) -> Spectrum | None:
        spectra = [part.spectral() for part in self.parts]
        if any(spectrum is None for spectrum in spectra):
            return None
        whole = [spectrum for spectrum in spectra if spectrum is not None]
        sizes = [spectrum.s.shape[-1] for spectrum in whole]
        most = max(sizes)

        def vt(x: Tensor) -> Tensor:
            axis = x.ndim - len(self.in_shape) - 1
            images = zip(whole, self._sorted_by_part(x, axis), strict=True)
            return self._joined([_pad(part.vt(own), most) for part, own in images], axis)

        def v(c: Tensor) -> Tensor:
            own = zip(whole, self._sorted_by_part(c, c.ndim - 2), sizes, strict=True)
            return self._joined([part.v(row[..., :size]) for part, row, size in own], c.ndim - 2)

        def ut(y: Tensor) -> Tensor:
            rows = zip(
                self.parts, whole, self._sorted_by_part(y, y.ndim - 2), self._counts, strict=True
            )
            coefficients = [
                spectrum.ut(own[..., :count].unflatten(-1, part.out_shape))
                for part, spectrum, own, count in rows
            ]
            return self._joined([_pad(c, most) for c in coefficients], y.ndim - 2)

        def u(c: Tensor) -> Tensor:
            own = zip(whole, self._sorted_by_part(c, c.ndim - 2), sizes, strict=True)
            rows = [part.u(row[..., :size]).flatten(c.ndim - 1) for part, row, size in own]
            return self._joined([_pad(row, self.rows) for row in rows], c.ndim - 2)

        s = self._joined([_pad(spectrum.s.to(self.dtype), most) for spectrum in whole], 0)
        return Spectrum(s, vt, v, ut, u)

    def select(self, index: Index) -> LinearOperator:
        chosen = pick(self.name, self.problem_shape, range(len(self._order)), index)
        if isinstance(chosen, int):
            return self._one(chosen)
        groups = []
        for part, own in zip(self.parts, self.positions, strict=True):
            places = [i for i, at in enumerate(chosen) if at in own]
            if places:
                groups.append((part.select([own.index(chosen[i]) for i in places]), tuple(places)))
        parts, positions = zip(*groups, strict=True)
        return dataclasses.replace(self, parts=parts, positions=positions)

    def _one(self, at: int) -> Padded:
        for part, own in zip(self.parts, self.positions, strict=True):
            if at in own:
                return Padded((part.select(own.index(at)),), self.rows)
        raise IndexError(f"{self.name} has no problem {at}.")

    @classmethod
    def concatenate(cls, parts: Sequence[Any]) -> LinearOperator:
        return mix([part.select(i) for part in parts for i in range(part.problem_shape[0])])


def mix(operators: Sequence[LinearOperator]) -> Mixed:
    """Join single operators of any kinds into a batch; problem ``i`` is ``operators[i]``.

    Raises:
        ValueError: If there are none, or they see images of different shapes, or one of them is
            a batch.
    """
    require(len(operators) > 0, "mix", "needs at least one operator, got none.")
    batches = [operator.name for operator in operators if operator.problem_shape]
    require(
        not batches,
        "mix",
        f"wants single operators, but these are batches: {', '.join(batches)}; pass their "
        "problems one by one.",
    )
    rows = max(torch.Size(operator.out_shape).numel() for operator in operators)
    single = [one.parts[0] if isinstance(one, Padded) else one for one in operators]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, one in enumerate(single):
        groups.setdefault(one.group_key(), []).append(i)
    parts = tuple(stack_operators([single[i] for i in own]) for own in groups.values())
    padded = any(isinstance(operator, Padded) for operator in operators)
    return Mixed(parts, tuple(tuple(own) for own in groups.values()), rows if padded else 0)


def _pad(rows: Tensor, length: int) -> Tensor:
    missing = length - rows.shape[-1]
    return torch.nn.functional.pad(rows, (0, missing)) if missing else rows
