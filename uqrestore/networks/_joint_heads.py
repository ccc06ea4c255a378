"""Queries, keys and values of two streams of tokens, laid out in one pass over memory."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

EPS = 1e-6
"""Added to the squared length of a query or key."""

Heads = Float[Tensor, "batch head token channel"]
Streams = Float[Tensor, "batch head stream_token channel"]


class JointHeads(torch.autograd.Function):
    r"""Scale queries and keys to cosine similarity, rotate them by position, and stack the streams.

    Does what ``SelfAttention.place`` and three concatenations do, to rounding: with ``c`` the root
    of the scale of a head and :math:`R` the rotation by position,

    .. math:: q \to R \, c q / |q|, \quad K = [R \, c k / |k|; \; R \, c k' / |k'|], \quad
        V = [v; v'], \quad k' = k'_1 + k'_2

    Written by hand because the layer is bound by memory: the parts, kept apart, are read and
    written about three times as often, forward and backward.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's
        of_own: Tensor,
        of_seen: Tensor,
        root: Tensor,
        cos: Tensor,
        sin: Tensor,
    ) -> tuple[Heads, Streams, Streams]:
        """Lay out.

        Args:
            ctx: Kept for the backward pass.
            of_own: What is made of the tokens: ``q, k, v, k'_1``, shape
                ``(batch, token, 4, head, channel)``.
            of_seen: What is made of what was seen: ``k'_2, v'``, likewise.
            root: ``c`` of each head, shape ``(head, 1, 1)``.
            cos: Cosine of position times frequency, ``(head, token, channel / 4)``.
            sin: Its sine.
        """
        q, k, v, more = of_own.permute(2, 0, 3, 1, 4)
        k_seen, v_seen = of_seen.permute(2, 0, 3, 1, 4)
        b, heads, tokens, width = q.shape
        query = q.new_empty(b, heads, tokens, width)
        keys, values = (q.new_empty(b, heads, 2, tokens, width) for _ in range(2))
        torch.add(more, k_seen, out=keys[:, :, 1])
        values[:, :, 0], values[:, :, 1] = v, v_seen
        factors = [
            _unit(q, query, root),
            _unit(k, keys[:, :, 0], root),
            _unit(keys[:, :, 1], keys[:, :, 1], root),
        ]
        turn(query, cos, sin)
        turn(keys, cos[:, None], sin[:, None])
        ctx.save_for_backward(query, keys, *factors, root, cos, sin)
        return query, keys.flatten(2, 3), values.flatten(2, 3)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,  # noqa: ANN401
        *grads: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Send gradients of queries, keys and values back to what they were made of."""
        query, keys, *factors, root, cos, sin = ctx.saved_tensors
        b, heads, _, tokens, width = keys.shape
        g_query, g_keys, g_values = grads
        g_keys, g_values = (g.reshape(keys.shape) for g in (g_keys, g_values))
        d_own = query.new_empty(b, tokens, 4, heads, width)
        d_seen = query.new_empty(b, tokens, 2, heads, width)
        own, seen = (t.permute(2, 0, 3, 1, 4) for t in (d_own, d_seen))
        own[2], seen[1] = g_values[:, :, 0], g_values[:, :, 1]
        d_root = torch.zeros_like(root)
        places = (
            (query, g_query, own[0]),
            (keys[:, :, 0], g_keys[:, :, 0], own[1]),
            (keys[:, :, 1], g_keys[:, :, 1], own[3]),
        )
        for (placed, grad, out), factor in zip(places, factors, strict=True):
            along = (placed * grad).sum(-1, keepdim=True)
            d_root += along.sum((0, 2))[:, None] / root
            back = torch.addcmul(grad, placed, (along / root.square()).to(grad.dtype), value=-1)
            turn(back, cos, -sin)
            torch.mul(back, factor, out=out)
        seen[0] = own[3]
        return d_own, d_seen, d_root, None, None


def _unit(t: Tensor, out: Tensor, root: Tensor) -> Tensor:
    """Write ``root t / |t|`` to ``out``; return the factor."""
    dtype = torch.promote_types(t.dtype, torch.float32)
    length = torch.linalg.vector_norm(t, dim=-1, keepdim=True, dtype=dtype)
    factor = (root * length.square_().add_(EPS).rsqrt_()).to(t.dtype)
    torch.mul(t, factor, out=out)
    return factor


def turn(t: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Rotate channel pairs ``(i, i + e/4)`` in place."""
    a, b, _, _ = t.chunk(4, dim=-1)
    across = a * sin
    a.mul_(cos).sub_(b * sin)
    b.mul_(cos).add_(across)
