"""Conditioning inputs of operator-aware networks."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators._cg import expand_to
from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.operators.coil_fourier import CoilFourier
from uqrestore.operators.identity import Zero
from uqrestore.operators.mixed import Mixed
from uqrestore.problem import Problem

LOUDEST = 8.0
"""Largest factor by which what a short measurement gives is lifted."""

POWER_STEPS = 12
"""Power iterations: the norm of an operator to a few per cent, from below."""


@dataclass(frozen=True, eq=False)
class Part:
    """The images of a batch that share one kind of operator.

    Args:
        operator: ``A``.
        y: Measurement ``(*batch, *out_shape)``; the operator's own batch comes last in ``batch``.
    """

    operator: LinearOperator
    y: Tensor

    @property
    def batch(self) -> Shape:
        """The unflattened batch."""
        return tuple(self.y.shape[: self.y.ndim - len(self.operator.out_shape)])

    @property
    def images(self) -> int:
        """How many images of the flat batch."""
        return torch.Size(self.batch).numel()

    @functools.cached_property
    def gain(self) -> Tensor:
        """``sqrt(n / rank A)`` for each problem, at most 8; 1 where the rank is not known."""
        rank = self.operator.rank()
        if rank is None:
            return torch.ones((), device=self.y.device)
        pixels = torch.Size(self.operator.in_shape).numel()
        gain = (pixels / rank.to(self.y.device).clamp(min=1)).sqrt().clamp(max=LOUDEST)
        return gain[..., None, None, None]

    def back(self, y: Tensor) -> Tensor:
        """Return ``A^+ y``, or ``A^T y / s_max^2`` where the pseudo-inverse has no closed form.

        Both lie in the same range, and a layer is called too often to iterate.
        """
        if self.operator.exact_pinv:
            return self.operator.pinv(y)
        return self.operator.adjoint(y) / self.power

    @functools.cached_property
    def power(self) -> Tensor:
        """Largest eigenvalue of ``A^T A`` of each problem, shaped to divide images."""
        return largest_eigenvalue(self.operator, self.y)

    @functools.cached_property
    def bound(self) -> Tensor:
        """Upper bound of the eigenvalues of ``A^T A``, shaped to divide images."""
        return expand_to(spectral_bound(self.operator), len(self.operator.in_shape))

    def scaled_normal(self, x: Float[Tensor, "image channel row column"]) -> Tensor:
        """Apply ``A^T A`` over :attr:`bound` to a flat batch of images."""
        seen = self.operator.normal(x.reshape(*self.batch, *x.shape[1:])) / self.bound
        return seen.reshape(x.shape)

    @property
    def blank(self) -> bool:
        """Whether nothing was measured."""
        return isinstance(self.operator, Zero)


@torch.no_grad()
def largest_eigenvalue(operator: LinearOperator, like: Tensor) -> Tensor:
    """Return the largest eigenvalue of ``A^T A`` of each problem, by power iteration."""
    shape = (*operator.problem_shape, *operator.in_shape)
    probe = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x, dims = probe.to(like), tuple(range(-len(operator.in_shape), 0))
    size = x.square().sum(dims, keepdim=True).sqrt()
    for _ in range(POWER_STEPS):
        x = operator.adjoint(operator.forward(x / size))
        size = x.square().sum(dims, keepdim=True).sqrt()
    return size


@torch.no_grad()
def spectral_bound(operator: LinearOperator) -> Float[Tensor, " *problem"]:
    """Return an upper bound of the eigenvalues of ``A^T A`` of each problem.

    It is exact where all singular values are equal, and the largest power of the coils where there
    are coils; elsewhere it is estimated, and a tenth is added.
    """
    if isinstance(operator, Mixed):
        bounds = torch.cat([spectral_bound(part) for part in operator.parts])
        return bounds[torch.tensor([i for p in operator.positions for i in p]).argsort()]
    like = torch.zeros((), dtype=operator.dtype, device=operator.device)
    if isinstance(operator, CoilFourier):
        return operator.largest_power
    if isinstance(operator, Zero) or operator.singular_value is not None:
        value = operator.singular_value or 1.0
        return like.new_full(operator.problem_shape, value**2)
    return 1.1 * largest_eigenvalue(operator, like).flatten(-3)[..., 0]


@dataclass(frozen=True, eq=False)
class Measurement:
    """A problem laid out for a flat batch of images, those of one kind of operator together.

    Every kind of a :class:`Mixed` batch then runs on rows of its own length, without padding.

    Args:
        parts: The kinds, in the order of the sorted batch.
        order: Which image of the batch stands at each place of the sorted one; None: as it is.
        pinv_y: ``A^+ y``, shape ``(flat batch, *in_shape)``, in the order of the batch.
        noise_std: Standard deviation of the measurement noise, ``(flat batch,)``, likewise.
        estimate: Linear estimate of the images, shaped as ``pinv_y``, for networks that take one.
        components: Components of the linear-Gaussian posterior times their standard deviations,
            ``(flat batch, component, *in_shape)``, in the order of the batch.
    """

    parts: tuple[Part, ...]
    order: Tensor | None
    pinv_y: Tensor
    noise_std: Tensor
    estimate: Tensor | None = None
    components: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the images."""
        return self.pinv_y.shape[-2], self.pinv_y.shape[-1]

    @functools.cached_property
    def misfits(self) -> tuple[Tensor, ...]:
        """Gradient ``A^T (y - A m)`` of each part at the linear estimate, over the bound of it."""
        estimate = self.estimate
        if estimate is None:
            estimate = torch.zeros_like(self.pinv_y)
        if self.order is not None:
            estimate = estimate[self.order]
        found = []
        for part, own in zip(
            self.parts, estimate.split([p.images for p in self.parts]), strict=True
        ):
            pulled = (part.operator.adjoint(part.y) / part.bound).reshape(own.shape)
            found.append(pulled - part.scaled_normal(own))
        return tuple(found)

    @functools.cached_property
    def places(self) -> Tensor | None:
        """Where each image of the batch stands in the sorted one."""
        return None if self.order is None else self.order.argsort()

    @classmethod
    def of(
        cls,
        problem: Problem,
        batch: Shape,
        estimate: Callable[[Problem], Tensor] | None = None,
        components: Callable[[Problem], Tensor] | None = None,
        *,
        invert: bool = True,
    ) -> "Measurement":
        """Lay out a problem for images of shape ``(*batch, *in_shape)``.

        Args:
            problem: The measurement.
            batch: The batch of images; it ends in the batch of the problem.
            estimate: Linear estimator of the network.
            components: Linear components of the network.
            invert: Whether the network is given ``A^+ y``; else it is given ``A^T y`` over the
                bound of the eigenvalues of ``A^T A``, and the level of the noise in those units.

        Raises:
            ValueError: If the batch does not end in the batch of problems.
        """
        own = problem.problem_shape
        if tuple(batch[len(batch) - len(own) :]) != own:
            raise ValueError(
                f"images come in batches of {tuple(batch)} but the problem is a batch of {own}; "
                "the problems must be the last batch dimensions."
            )
        operator, y = problem.operator, problem.y
        noise_std = problem.noise_std_as(y)
        if invert:
            pinv_y = operator.pinv(y)
        else:
            bound = spectral_bound(operator)
            pinv_y = operator.adjoint(y) / expand_to(bound, len(operator.in_shape))
            noise_std = noise_std / bound.sqrt()
        parts, order = _split(operator, y.expand(*batch, *operator.out_shape), batch)

        def lay(images: Tensor) -> Tensor:
            one = images.shape[len(own) :]
            return images.expand(*batch, *one).reshape(-1, *one)

        linear = None if estimate is None else lay(estimate(problem))
        directions = None if components is None else lay(components(problem))
        noise_std = noise_std.expand(batch).reshape(-1)
        return cls(parts, order, lay(pinv_y), noise_std, linear, directions)


def _split(
    operator: LinearOperator, y: Tensor, batch: Shape
) -> tuple[tuple[Part, ...], Tensor | None]:
    """Split a batch into the kinds of its operators, each with the rows it has."""
    if not isinstance(operator, Mixed):
        return (Part(operator, y),), None
    numbers = torch.arange(torch.Size(batch).numel(), device=y.device).reshape(batch)
    parts, order = [], []
    for part, positions in zip(operator.parts, operator.positions, strict=True):
        chosen = torch.tensor(positions, device=y.device)
        rows = torch.Size(part.out_shape).numel()
        own = y.index_select(-2, chosen)[..., :rows].unflatten(-1, part.out_shape)
        parts.append(Part(part, own))
        order.append(numbers.index_select(-1, chosen).flatten())
    return tuple(parts), torch.cat(order)
