"""One batch of operators of different kinds, each kind run at once."""

import dataclasses
import operator as python_operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from uqrestore.operators.algebra import flat_row_mask
from uqrestore.operators.base import SHARED, LinearOperator, stack_operators
from uqrestore.operators.checks import Index, Shape, pick, require
from uqrestore.operators.compound import Compound
from uqrestore.operators.padded import Padded
from uqrestore.operators.spectrum import Spectrum

Rows = Float[Tensor, "*batch rows"]


@dataclass(frozen=True, eq=False)
class Mixed(Compound):
    """A batch whose problems are of different kinds; made by :func:`mix`.

    Each kind runs once, on all its problems, and the results are put back in their places. A
    measurement is a vector as long as the longest, with zeros (and False in ``row_mask``) where
    a shorter one has ended.

    Args:
        parts: One batch of operators for each kind.
        positions: For each part, which problems of the batch are its own.
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

    def __post_init__(self) -> None:
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
        object.__setattr__(self, "_order", torch.tensor(flat, device=self.device))

    @property
    def _counts(self) -> list[int]:
        return [torch.Size(part.out_shape).numel() for part in self.parts]

    @property
    def _at(self) -> Sequence[Tensor]:
        return self._order.split([len(positions) for positions in self.positions])

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
        real = torch.zeros(len(self._order), self.rows, dtype=torch.bool, device=self.device)
        for part, at, count in zip(self.parts, self._at, self._counts, strict=True):
            real[at, :count] = flat_row_mask(part, part.problem_shape)
        return real

    @property
    def singular_value(self) -> float | None:
        values = {part.singular_value for part in self.parts}
        return values.pop() if len(values) == 1 else None

    def forward(self, x: Tensor) -> Rows:
        axis = x.ndim - len(self.in_shape) - 1
        y = x.new_zeros(*x.shape[: axis + 1], self.rows)
        for part, at, count in zip(self.parts, self._at, self._counts, strict=True):
            flat = part.forward(x.index_select(axis, at)).flatten(axis + 1)
            y.narrow(-1, 0, count).index_copy_(axis, at, flat)
        return y

    def adjoint(self, y: Rows) -> Tensor:
        return self._back(y, "adjoint")

    def pinv(self, y: Rows) -> Tensor:
        return self._back(y, "pinv")

    def _back(self, y: Rows, method: str) -> Tensor:
        x = y.new_empty(*y.shape[:-1], *self.in_shape)
        for part, at, count in zip(self.parts, self._at, self._counts, strict=True):
            own = y.narrow(-1, 0, count).index_select(y.ndim - 2, at)
            back = python_operator.methodcaller(method, own.unflatten(-1, part.out_shape))
            x.index_copy_(y.ndim - 2, at, back(part))
        return x

    def spectral(self) -> Spectrum | None:
        spectra = [part.spectral() for part in self.parts]
        if any(spectrum is None for spectrum in spectra):
            return None
        whole = [spectrum for spectrum in spectra if spectrum is not None]
        most = max(spectrum.s.shape[-1] for spectrum in whole)
        s = torch.zeros(len(self._order), most, dtype=self.dtype, device=self.device)
        for spectrum, at in zip(whole, self._at, strict=True):
            s[at, : spectrum.s.shape[-1]] = spectrum.s.to(s)

        def to_coefficients(value: Tensor, shape: Shape, name: str) -> Tensor:
            axis = value.ndim - len(shape) - 1
            c = value.new_zeros(*value.shape[: axis + 1], most)
            for i, at in enumerate(self._at):
                own = value.index_select(axis, at)
                if name == "ut":
                    own = own[..., : self._counts[i]].unflatten(-1, self.parts[i].out_shape)
                part = getattr(whole[i], name)(own)
                c.narrow(-1, 0, part.shape[-1]).index_copy_(axis, at, part)
            return c

        def from_coefficients(c: Tensor, shape: Shape, name: str) -> Tensor:
            axis = c.ndim - 2
            value = c.new_zeros(*c.shape[:-1], *shape)
            for i, at in enumerate(self._at):
                own = c.index_select(axis, at)[..., : whole[i].s.shape[-1]]
                part = getattr(whole[i], name)(own)
                if name == "u":
                    part = part.flatten(axis + 1)
                value.narrow(-1, 0, part.shape[-1]).index_copy_(axis, at, part)
            return value

        return Spectrum(
            s,
            lambda x: to_coefficients(x, self.in_shape, "vt"),
            lambda c: from_coefficients(c, self.in_shape, "v"),
            lambda y: to_coefficients(y, self.out_shape, "ut"),
            lambda c: from_coefficients(c, self.out_shape, "u"),
        )

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
    """Make one batch of single operators of any kinds; problem ``i`` is ``operators[i]``.

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
