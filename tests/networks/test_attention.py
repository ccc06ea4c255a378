"""Attention: who sees whom, and what rotations and scales leave alone."""

import pytest
import torch
from torch import Tensor

from uqrestore.networks._neighborhood import dense_bias, dense_mask, tile_bias
from uqrestore.networks._rope import _rope_table
from uqrestore.networks.attention import (
    AttentionSpec,
    SelfAttention,
    _seam_bias,
    attend,
    rotate,
)


def heads(seed: int, tokens: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, 3, tokens, 8, generator=g, dtype=dtype) for _ in range(3))


def by_hand(q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int], size: int) -> Tensor:
    """Neighborhood attention, one query at a time."""
    out = torch.empty_like(q)
    rows, columns = grid
    for i in range(rows):
        for j in range(columns):
            top = min(max(i - size // 2, 0), rows - size)
            left = min(max(j - size // 2, 0), columns - size)
            across = range(left, left + size)
            keys = [r * columns + c for r in range(top, top + size) for c in across]
            at = i * columns + j
            logits = torch.einsum("bhe,bhke->bhk", q[:, :, at], k[:, :, keys])
            out[:, :, at] = torch.einsum("bhk,bhke->bhe", logits.softmax(-1), v[:, :, keys])
    return out


@pytest.mark.parametrize("grid", [(7, 6), (5, 9), (24, 16), (12, 28)])
@pytest.mark.parametrize("size", [3, 5])
def test_a_neighborhood_is_the_nearest_tokens(grid: tuple[int, int], size: int) -> None:
    q, k, v = heads(0, grid[0] * grid[1])
    found = attend(q, k, v, grid, AttentionSpec("neighborhood", size))
    torch.testing.assert_close(found, by_hand(q, k, v, grid, size))


@pytest.mark.parametrize("grid", [(24, 16), (12, 28)])
def test_tiles_pass_the_gradient_of_the_dense_product(grid: tuple[int, int]) -> None:
    q, k, v = (t.requires_grad_() for t in heads(6, grid[0] * grid[1]))
    mask = dense_mask(grid, 5, 2, torch.device("cpu"))

    def gradients(out: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(out.square().sum(), (q, k, v), retain_graph=True)

    twice = torch.cat([k, 2 * k], 2), torch.cat([v, -v], 2)
    tiled = attend(q, *twice, grid, AttentionSpec("neighborhood", 5))
    dense = torch.nn.functional.scaled_dot_product_attention(q, *twice, attn_mask=mask, scale=1.0)
    torch.testing.assert_close(tiled, dense)
    for ours, theirs in zip(gradients(tiled), gradients(dense), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_every_query_has_the_same_number_of_neighbors() -> None:
    mask = dense_mask((7, 9), 5, 2, torch.device("cpu"))
    assert (mask.sum(1) == 2 * 25).all()


def test_a_neighborhood_as_wide_as_the_grid_is_global() -> None:
    q, k, v = heads(1, 25)
    near = attend(q, k, v, (5, 5), AttentionSpec("neighborhood", 5))
    torch.testing.assert_close(near, attend(q, k, v, (5, 5), AttentionSpec("global")))


@pytest.mark.parametrize("shift", [False, True])
def test_windows_keep_to_themselves(shift: bool) -> None:
    """A changed token changes its own window and nothing else."""
    q, k, v = heads(2, 48)
    spec = AttentionSpec("shifted-window", 4)
    changed = v.clone()
    changed[:, :, 0] += 1
    before = attend(q, k, v, (12, 4), spec, shift)
    after = attend(q, k, changed, (12, 4), spec, shift)
    touched = (before != after).any(-1).any(0).any(0).reshape(12, 4)
    rows = 2 if shift else 4
    columns = 2 if shift else 4
    want = torch.zeros(12, 4, dtype=torch.bool)
    want[:rows, :columns] = True
    assert torch.equal(touched, want)


def test_bfloat16_takes_the_same_path_within_its_precision() -> None:
    q, k, v = (t.float() for t in heads(3, 42))
    spec = AttentionSpec("neighborhood", 5)
    exact = attend(q, k, v, (7, 6), spec)
    rough = attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), (7, 6), spec)
    torch.testing.assert_close(rough.float(), exact, atol=0.06, rtol=0.06)


def test_two_streams_share_one_softmax() -> None:
    q, k, v = heads(4, 30)
    ones = torch.ones_like(v)
    spec = AttentionSpec("neighborhood", 3)
    joint = attend(q, torch.cat([k, -k], 2), torch.cat([ones, ones], 2), (5, 6), spec)
    torch.testing.assert_close(joint, torch.ones_like(joint))


def test_masked_second_stream_is_plain_attention() -> None:
    q, k, v = heads(5, 36)
    for spec in (AttentionSpec("global"), AttentionSpec("shifted-window", 3)):
        plain = attend(q.abs(), k, v, (6, 6), spec)
        joint = attend(
            q.abs(), torch.cat([k, torch.full_like(k, -1e6)], 2), torch.cat([v, v], 2), (6, 6), spec
        )
        torch.testing.assert_close(joint, plain)


def test_logits_are_bounded_by_the_learned_scale() -> None:
    layer = SelfAttention(24, 8, head_width=8, spec=AttentionSpec()).double()
    qk = 100 * torch.randn(2, 30, 2, 3, 8, generator=torch.Generator().manual_seed(0)).double()
    q, k = layer.place(qk, (5, 6)).permute(2, 0, 3, 1, 4)
    logits = q @ k.transpose(-1, -2)
    assert logits.abs().max() <= 10 + 1e-6
    length = torch.full_like(q[..., 0], 10**0.5)
    torch.testing.assert_close(q.norm(dim=-1), length, rtol=1e-5, atol=0)


def test_rotation_keeps_lengths_and_the_second_half() -> None:
    g = torch.Generator().manual_seed(0)
    t = torch.randn(3, 16, generator=g, dtype=torch.float64)
    angle = torch.randn(3, 4, generator=g, dtype=torch.float64)
    turned = rotate(t, angle.cos(), angle.sin())
    torch.testing.assert_close(turned.norm(dim=-1), t.norm(dim=-1))
    torch.testing.assert_close(turned[:, 8:], t[:, 8:])


def test_logits_depend_on_relative_position_alone() -> None:
    g = torch.Generator().manual_seed(0)
    q, k = (torch.randn(16, generator=g, dtype=torch.float64) for _ in range(2))
    frequency = torch.rand(4, generator=g, dtype=torch.float64) * 10

    def logit(at: float, other: float) -> Tensor:
        a, b = frequency * at, frequency * other
        return (rotate(q, a.cos(), a.sin()) * rotate(k, b.cos(), b.sin())).sum()

    torch.testing.assert_close(logit(0.1, 0.7), logit(2.1, 2.7))


@pytest.mark.parametrize(
    ("spec", "grid", "message"),
    [
        (AttentionSpec("neighborhood", 5), (3, 9), "needs at least that many tokens"),
        (AttentionSpec("shifted-window", 4), (6, 8), "do not tile 6 x 8"),
    ],
)
def test_a_grid_that_does_not_fit_is_named(
    spec: AttentionSpec, grid: tuple[int, int], message: str
) -> None:
    q, k, v = heads(0, grid[0] * grid[1])
    with pytest.raises(ValueError, match=message):
        attend(q, k, v, grid, spec)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="'local' is unknown"):
        AttentionSpec.parse("local")


def test_a_width_that_does_not_fit_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="nearest widths are 96 and 128"):
        SelfAttention(100, 8, head_width=32, spec=AttentionSpec())


@pytest.mark.parametrize(
    ("grid", "spec"),
    [
        ((7, 9), AttentionSpec("neighborhood", 5)),
        ((24, 20), AttentionSpec("neighborhood", 5)),
        ((9, 6), AttentionSpec("shifted-window", 3)),
    ],
)
def test_training_follows_a_call_in_inference_mode(
    grid: tuple[int, int], spec: AttentionSpec
) -> None:
    for kept in (dense_bias, tile_bias, _seam_bias, _rope_table):
        kept.cache_clear()
    layer = SelfAttention(16, 4, head_width=8, spec=spec, shift=True).double()
    torch.nn.init.ones_(layer.out.weight)
    x, cond = heads(8, grid[0] * grid[1])[0][:, 0].reshape(2, *grid, 8), torch.zeros(2, 4)
    x, cond = torch.cat([x, -x], -1), cond.double()
    with torch.inference_mode():
        seen = layer(x, cond)
    out = layer(x, cond)
    out.sum().backward()
    torch.testing.assert_close(out.detach(), seen.clone())
