"""The arithmetic of a layer is what the formulas say."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from uqrestore.networks.attention import AttentionSpec
from uqrestore.networks.hdit import Level, TransformerLayer
from uqrestore.networks.joint_attention import JointAttention, JointLayer
from uqrestore.networks.layers import FeedForward
from uqrestore.networks.measurement import Measurement
from uqrestore.operators import Inpainting
from uqrestore.problem import simulate

WIDTH, PIXELS, GRID, COND = 32, 4, (4, 6), 8
TOKENS, STACK = GRID[0] * GRID[1], WIDTH // PIXELS**2
SHAPE = (1, GRID[0] * PIXELS, GRID[1] * PIXELS)
PLAIN = 26 * TOKENS * WIDTH**2 + 4 * TOKENS**2 * WIDTH
JOINT = 6 * TOKENS * WIDTH**2 + 4 * TOKENS**2 * WIDTH
NORM = 2 * COND * WIDTH
LEVEL = Level(WIDTH, 1, AttentionSpec(), PIXELS)


def measurement() -> Measurement:
    mask = torch.ones(1, *SHAPE)
    return Measurement.of(simulate(Inpainting(mask), torch.zeros(1, *SHAPE)), (1,))


def counted(layer: torch.nn.Module, *context: object) -> int:
    # Softmax attention in two plain products, which the counter knows.
    for module in layer.modules():
        if hasattr(module, "exchange"):
            module.exchange = lambda weights: weights  # type: ignore[assignment]
    x, cond = torch.zeros(1, *GRID, WIDTH), torch.zeros(1, COND)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(x, cond, *context)
    return counter.get_total_flops()


def joint(fdl_input: str) -> JointLayer:
    attention = JointAttention(
        LEVEL,
        0,
        1,
        cond_width=COND,
        head_width=8,
        dropout=0.0,
        fdl_input=fdl_input,  # type: ignore[arg-type]
    )
    return JointLayer(attention, FeedForward(WIDTH, COND))


def test_a_plain_layer() -> None:
    assert counted(TransformerLayer(LEVEL, 0, COND, 8, 0.0)) == PLAIN + 2 * NORM


@pytest.mark.parametrize(("fdl_input", "maps"), [("raw", 0), ("projected", 4 * TOKENS * WIDTH**2)])
def test_a_joint_layer_adds_keys_and_values_of_another_stream(fdl_input: str, maps: int) -> None:
    """And the map over the stack, which is applied to as many numbers as the tokens have."""
    mixed = 2 * STACK * TOKENS * WIDTH
    found = counted(joint(fdl_input), measurement())
    assert found == PLAIN + JOINT + mixed + maps + 3 * NORM
