"""Properties of every backbone."""

import pytest
import torch

from tests.networks.cases import CASES, SHAPE, awake
from uqrestore.networks import BACKBONES, Backbone, HDiT
from uqrestore.networks.layers import AdaRMSNorm, TokenSplit, merge, split
from uqrestore.networks.weights import load_tensors, save_tensors


def test_every_backbone_has_a_case() -> None:
    assert set(BACKBONES) == {name.split("_")[0] for name in CASES}, (
        "add one line to CASES for each new backbone"
    )


@pytest.fixture(params=sorted(CASES))
def network(request: pytest.FixtureRequest) -> Backbone:
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        return CASES[request.param]().double()


def inputs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    x = torch.randn(count, *SHAPE, generator=g, dtype=torch.float64)
    return x, torch.randn(count, generator=g, dtype=torch.float64)


def test_the_output_starts_at_exactly_zero(network: Backbone) -> None:
    x, c_noise = inputs(3)
    assert torch.equal(network(x, c_noise), torch.zeros_like(x))


OPERATOR = (
    *("degrade", "value", "attention.norm", "direct", "norm_seen"),
    *("choose", "strength", "inject", "pass_guess", "final.power"),
)
"""What an operator-conditioned layer needs a measurement to learn."""


def test_gradient_reaches_every_parameter(network: Backbone) -> None:
    awake(network)
    x, c_noise = inputs(4)
    label = torch.tensor([0, 1, 2, 3])
    network(x, c_noise, label).square().sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    operator_only = [n for n in silent if any(part in n for part in OPERATOR)]
    assert silent == operator_only, f"no gradient in {silent}"


def test_images_of_a_batch_are_independent(network: Backbone) -> None:
    awake(network)
    x, c_noise = inputs(4)
    together = network(x, c_noise)
    alone = torch.cat([network(x[i : i + 1], c_noise[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone)


def test_no_label_is_the_last_label(network: Backbone) -> None:
    awake(network)
    x, c_noise = inputs(2)
    none = network(x, c_noise, torch.tensor([3, 3]))
    assert torch.equal(network(x, c_noise), none)
    assert not torch.equal(network(x, c_noise, torch.tensor([0, 0])), none)


def test_weights_survive_saving(network: Backbone, tmp_path) -> None:  # noqa: ANN001
    awake(network)
    x, c_noise = inputs(2)
    before = network(x, c_noise)
    save_tensors(tmp_path / "w.safetensors", network.state_dict())
    awake(network, seed=9)
    network.load_state_dict(load_tensors(tmp_path / "w.safetensors"))
    assert torch.equal(network(x, c_noise), before)


def test_merging_is_undone_by_splitting() -> None:
    x = torch.arange(2 * 6 * 4 * 3).reshape(2, 6, 4, 3)
    assert torch.equal(split(merge(x, 2), 2), x)


def test_the_learned_share_blends_skip_and_split() -> None:
    layer = TokenSplit(6, 3)
    deep, skip = torch.ones(1, 2, 2, 6), torch.full((1, 4, 4, 3), 7.0)
    layer.share.data.fill_(0.0)
    assert torch.equal(layer(deep, skip), skip)
    layer.share.data.fill_(1.0)
    torch.testing.assert_close(layer(deep, skip), split(layer.project(deep), 2))


def test_the_norm_ignores_the_scale_of_its_input() -> None:
    norm = AdaRMSNorm(8, 4).double()
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 3, 8, generator=g, dtype=torch.float64)
    cond = torch.randn(2, 4, generator=g, dtype=torch.float64)
    torch.testing.assert_close(norm(1000 * x, cond), norm(x, cond), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (16,)}, "speak of 1, 2 and 2 levels"),
        ({"patch": 8}, "must be multiples of 16"),
        ({"widths": (16, 30)}, "nearest widths are 24 and 32"),
    ],
)
def test_options_that_do_not_fit_are_named(options: dict, message: str) -> None:
    base = {"patch": 2, "widths": (16, 32), "depths": (1, 1), "head_width": 8}
    with pytest.raises(ValueError, match=message):
        HDiT(SHAPE, **(base | options))
