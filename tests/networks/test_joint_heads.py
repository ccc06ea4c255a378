"""The layout of two streams against the plain words for it."""

import torch
from torch import Tensor

from uqrestore.networks._joint_heads import JointHeads, turn
from uqrestore.networks.attention import AttentionSpec, SelfAttention

GRID, HEADS, WIDTH, BATCH = (3, 4), 2, 8, 2
TOKENS = GRID[0] * GRID[1]


def randn(*shape: int, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


def inputs() -> tuple[Tensor, Tensor]:
    own = randn(BATCH, TOKENS, 4, HEADS, WIDTH, seed=0).requires_grad_()
    return own, randn(BATCH, TOKENS, 2, HEADS, WIDTH, seed=1).requires_grad_()


def attention() -> SelfAttention:
    made = SelfAttention(HEADS * WIDTH, 4, head_width=WIDTH, spec=AttentionSpec()).double()
    made.log_scale.data = randn(HEADS, seed=2)
    return made


def in_words(layer: SelfAttention, own: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Place queries and keys by themselves, then put the streams behind one another."""
    q, k = layer.place(own[:, :, :2], GRID).unbind(2)
    k_seen = layer.place(own[:, :, 3:] + seen[:, :, :1], GRID)[:, :, 0]
    keys, values = torch.cat([k, k_seen], 1), torch.cat([own[:, :, 2], seen[:, :, 1]], 1)
    return q.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)


def test_it_is_the_formula_and_so_are_its_gradients() -> None:
    layer, (own, seen) = attention(), inputs()
    leaves = (own, seen, layer.log_scale)
    shapes = [(BATCH, HEADS, n * TOKENS, WIDTH) for n in (1, 2, 2)]
    weights = [randn(*shape, seed=3 + n) for n, shape in enumerate(shapes)]
    ours, words = layer.place_joint(own, seen, GRID), in_words(layer, own, seen)
    for one, other in zip(ours, words, strict=True):
        torch.testing.assert_close(one, other)
    found = [torch.autograd.grad(way, leaves, weights) for way in (ours, words)]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_are_those_of_finite_differences() -> None:
    own, seen = inputs()
    root = (1 + randn(HEADS, 1, 1, seed=5).abs()).requires_grad_()
    angle = randn(HEADS, TOKENS, WIDTH // 4, seed=6)
    cos, sin = angle.cos(), angle.sin()
    assert torch.autograd.gradcheck(
        lambda *given: JointHeads.apply(*given, cos, sin), (own, seen, root), fast_mode=True
    )


def test_a_turn_is_undone_by_the_opposite_turn() -> None:
    t, angle = randn(BATCH, HEADS, TOKENS, WIDTH, seed=7), randn(HEADS, TOKENS, 2, seed=8)
    there = t.clone()
    turn(there, angle.cos(), angle.sin())
    assert not torch.allclose(there, t)
    torch.testing.assert_close(there[..., 4:], t[..., 4:])
    turn(there, angle.cos(), -angle.sin())
    torch.testing.assert_close(there, t)
