"""The attention tape: what is recorded can be put back, and is put back last in, first out."""

import pytest
import torch

from tests.networks.cases import CASES, SHAPE, awake
from uqrestore.networks import HDiT
from uqrestore.networks.attention import SelfAttention
from uqrestore.networks.attention_tape import AttentionTape, decoder_attention


@pytest.fixture(params=sorted(CASES))
def network(request: pytest.FixtureRequest) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        return awake(CASES[request.param]().double())


def inputs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(2, *SHAPE, generator=g, dtype=torch.float64)
    return x, torch.randn(2, generator=g, dtype=torch.float64)


def test_the_maps_of_the_same_call_change_nothing(network: torch.nn.Module) -> None:
    tape, (x, c_noise) = AttentionTape(network), inputs(0)
    plain = network(x, c_noise)
    with tape.record():
        torch.testing.assert_close(network(x, c_noise), plain)
    with tape.inject():
        torch.testing.assert_close(network(x, c_noise), plain)
    assert len(tape) == 0


def test_the_maps_of_another_call_change_the_output(network: torch.nn.Module) -> None:
    tape, (x, c_noise), (other, _) = AttentionTape(network), inputs(0), inputs(1)
    plain = network(x, c_noise)
    with tape.record():
        network(other, c_noise)
    with tape.inject():
        assert (network(x, c_noise) - plain).abs().max() > 1e-6
    torch.testing.assert_close(network(x, c_noise), plain)


def test_the_last_call_recorded_is_the_first_injected(network: torch.nn.Module) -> None:
    tape, (x, c_noise), (other, _) = AttentionTape(network), inputs(0), inputs(1)
    plain = network(x, c_noise)
    for image in (other, x):
        with tape.record():
            network(image, c_noise)
    assert len(tape) == 2
    with tape.inject():
        torch.testing.assert_close(network(x, c_noise), plain)
    assert len(tape) == 1


def test_an_empty_tape_is_named(network: torch.nn.Module) -> None:
    with pytest.raises(RuntimeError, match="tape is empty"), AttentionTape(network).inject():
        pass


def test_maps_of_another_batch_are_refused(network: torch.nn.Module) -> None:
    tape, (x, c_noise) = AttentionTape(network), inputs(0)
    with tape.record():
        network(x, c_noise)
    with pytest.raises(RuntimeError, match="same batch and image size"), tape.inject():
        network(x[:1], c_noise[:1])


def test_the_layers_are_those_on_the_way_up() -> None:
    network = CASES["hdit"]()
    chosen = decoder_attention(network)
    assert isinstance(network, HDiT)
    up = [m for m in network.trunk.up.modules() if isinstance(m, SelfAttention)]
    middle = [m for m in network.trunk.middle.modules() if isinstance(m, SelfAttention)]
    assert chosen == [*middle[len(middle) // 2 :], *up]


def test_a_network_without_attention_is_named() -> None:
    with pytest.raises(ValueError, match="Linear has no self-attention"):
        AttentionTape(torch.nn.Linear(1, 1))
