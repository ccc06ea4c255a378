"""Compositions, stacks and multiples of operators."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators._cg import expand_to
from uqrestore.operators._checks import Shape, check_per_problem, require
from uqrestore.operators._compound import Compound, Wrapper
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.iterative import IterativeOperator, check_iteration
from uqrestore.operators.spectrum import Spectrum


@dataclass(frozen=True, eq=False)
class Composed(Compound, IterativeOperator):
    """Composition: ``Composed((A, B))`` is ``x -> A(B(x))``, as is ``A @ B``.

    The pseudo-inverse of a product is not the product of the pseudo-inverses, so it is computed by
    conjugate gradients.

    Args:
        parts: The operators; the last one acts first.
        tol: Relative residual of the normal equations at which the pseudo-inverse stops.
        max_iter: Maximum number of iterations of the pseudo-inverse.

    Raises:
        ValueError: If an operator does not act on the output of the one before it.
    """

    name: ClassVar[str] = "composed"
    shapes: ClassVar[str] = "that of the last part -> that of the first part"

    parts: tuple[LinearOperator, ...]
    tol: float = 1e-6
    max_iter: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self.name, self.parts)
        check_iteration(self.name, self.tol, self.max_iter)
        for outer, inner in zip(self.parts, self.parts[1:], strict=False):
            require(
                outer.in_shape == inner.out_shape,
                self.name,
                f"{outer.name} acts on {outer.in_shape} but {inner.name} before it gives "
                f"{inner.out_shape}; the two must agree.",
            )

    @property
    def axes(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.parts[0].axes

    @property
    def in_shape(self) -> Shape:
        return self.parts[-1].in_shape

    @property
    def out_shape(self) -> Shape:
        return self.parts[0].out_shape

    @property
    def row_mask(self) -> Tensor | None:
        return self.parts[0].row_mask

    def forward(self, x: Tensor) -> Tensor:
        for part in reversed(self.parts):
            x = part.forward(x)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        for part in self.parts:
            y = part.adjoint(y)
        return y


@dataclass(frozen=True, eq=False)
class Stacked(Compound, IterativeOperator):
    """Several measurements of the same image, concatenated in one vector.

    Args:
        parts: The operators; all see the same image.
        tol: Relative residual of the normal equations at which the pseudo-inverse stops.
        max_iter: Maximum number of iterations of the pseudo-inverse.

    Raises:
        ValueError: If the operators act on images of different shapes.
    """

    name: ClassVar[str] = "stacked"
    shapes: ClassVar[str] = "that of every part -> (rows,), those of all parts"

    parts: tuple[LinearOperator, ...]
    tol: float = 1e-6
    max_iter: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self.name, self.parts)
        check_iteration(self.name, self.tol, self.max_iter)
        shapes = [part.in_shape for part in self.parts]
        require(
            len(set(shapes)) == 1,
            self.name,
            f"all parts must see the same image but they act on {shapes}.",
        )

    @property
    def in_shape(self) -> Shape:
        return self.parts[0].in_shape

    @property
    def out_shape(self) -> Shape:
        return (sum(self._counts),)

    @property
    def _counts(self) -> list[int]:
        return [torch.Size(part.out_shape).numel() for part in self.parts]

    @property
    def row_mask(self) -> Tensor | None:
        if all(part.row_mask is None for part in self.parts):
            return None
        return torch.cat([flat_row_mask(part, self.problem_shape) for part in self.parts], -1)

    def forward(self, x: Tensor) -> Float[Tensor, "*batch rows"]:
        measured = [part.forward(x) for part in self.parts]
        flat = [
            y.flatten(y.ndim - len(part.out_shape))
            for y, part in zip(measured, self.parts, strict=True)
        ]
        return torch.cat(flat, -1)

    def adjoint(self, y: Float[Tensor, "*batch rows"]) -> Tensor:
        pieces = zip(self.parts, y.split(self._counts, -1), strict=True)
        images = [part.adjoint(piece.unflatten(-1, part.out_shape)) for part, piece in pieces]
        return torch.stack(images).sum(0)


@dataclass(frozen=True, eq=False)
class Scaled(Wrapper):
    """A multiple of an operator, one factor for all or one per problem.

    Args:
        parts: The one operator.
        scale: The factor; not 0.

    Raises:
        ValueError: If there is not exactly one part, or the factor is 0 or not finite.
    """

    name: ClassVar[str] = "scaled"
    shapes: ClassVar[str] = "those of its part"

    parts: tuple[LinearOperator, ...]
    scale: Float[Tensor, "*problem"] | float | int

    def __post_init__(self) -> None:
        super().__post_init__()
        scale = self.scale
        if not isinstance(scale, Tensor):
            scale = torch.tensor(scale, dtype=torch.float64, device=self.part.device)
        check_per_problem(self.name, "scale", scale, self.part.problem_shape)
        require(
            torch.isfinite(scale) & (scale != 0),
            self.name,
            f"scale must be finite and not 0, got {scale.tolist()}; for 0 use the zero operator.",
        )
        object.__setattr__(self, "scale", scale.expand(self.part.problem_shape).clone())

    @property
    def singular_value(self) -> float | None:
        size = torch.as_tensor(self.scale).abs()
        inner = self.part.singular_value
        return inner * float(size.max()) if inner and bool(size.min() == size.max()) else None

    def forward(self, x: Tensor) -> Tensor:
        return self._factor(x, self.out_shape) * self.part.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._factor(y, self.in_shape) * self.part.adjoint(y)

    def pinv(self, y: Tensor) -> Tensor:
        return self.part.pinv(y) / self._factor(y, self.in_shape)

    def _factor(self, like: Tensor, shape: Shape) -> Tensor:
        scale = torch.as_tensor(self.scale, dtype=like.dtype, device=like.device)
        return expand_to(scale, len(shape))

    def spectral(self) -> Spectrum | None:
        spectrum = self.part.spectral()
        if spectrum is None:
            return None
        scale = torch.as_tensor(self.scale)
        sign, size = scale.sign(), scale.abs()[..., None].to(spectrum.s)

        def ut(y: Tensor) -> Tensor:
            return sign.to(y)[..., None] * spectrum.ut(y)

        def u(c: Tensor) -> Tensor:
            return spectrum.u(sign.to(c)[..., None] * c)

        return Spectrum(size * spectrum.s, spectrum.vt, spectrum.v, ut, u)


def check_parts(name: str, parts: tuple[LinearOperator, ...]) -> None:
    """Raise unless there are parts, and all batches among them have the same size."""
    require(len(parts) > 0, name, "needs at least one part, got none.")
    batches = sorted({part.problem_shape for part in parts} - {()})
    require(
        len(batches) <= 1,
        name,
        f"parts that are batches must hold the same problems but their sizes are {batches}.",
    )


def flat_row_mask(operator: LinearOperator, problem: Shape) -> Tensor:
    """Return the row mask of an operator, or all True, as ``(*problem, rows)``."""
    rows = operator.row_mask
    if rows is None:
        rows = torch.ones(1, dtype=torch.bool, device=operator.device)
    return rows.expand(*problem, *operator.out_shape).flatten(len(problem))
