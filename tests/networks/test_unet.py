"""MONAI's U-Net with the operator inside: what the plain one has is kept, what is new learns."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.networks.cases import CASES, SHAPE, awake
from tests.training.test_start import PROBLEM
from tests.training.test_training import SHAPE as TRAINED
from tests.training.test_training import VAL, config, source
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.networks import InvFussion, UNet
from uqrestore.networks._joint_unet import JointSpatialAttention
from uqrestore.networks.measurement import Measurement
from uqrestore.operators import Inpainting
from uqrestore.problem import Problem, simulate
from uqrestore.training.batch import operators_of
from uqrestore.training.config import NetworkConfig
from uqrestore.training.trainer import Trainer

SMALL: dict[str, Any] = {"widths": (8, 16), "head_width": 8, "groups": 4}


def unet(**options: Any) -> Any:  # noqa: ANN401 - MONAI's parts have no types
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        chosen: dict[str, Any] = SMALL | {"attention": (False, True)} | options
        made = UNet(SHAPE, **chosen)
    awake(made.double())
    return made


def randn(*shape: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


def inpainting(mask: Tensor | None = None) -> Problem:
    mask = (randn(3, *SHAPE) > 0).double() if mask is None else mask
    return simulate(Inpainting(mask), randn(3, *SHAPE, seed=2) * (mask > 0))


def test_without_what_the_operator_returns_the_joint_block_is_the_plain_one() -> None:
    plain: Any = unet().unet.middle_block.attention
    joint = JointSpatialAttention(plain, 16, 2, 1).double()
    x, tokens = randn(3, 16, 6, 4, seed=5), 6 * 4
    conditioned = partial(joint.conditioned, Measurement.of(inpainting(), (3,)))
    prior = joint(x)
    with conditioned():
        assert (joint(x) - plain(x)).abs().max() > 1e-3
        assert (joint(x) - prior).abs().max() > 1e-3
    assert torch.equal(joint(x), prior), "no measurement stays behind"
    wanted = plain(x)

    def hide(_: nn.Module, __: tuple[Tensor, ...], weights: Tensor) -> Tensor:
        own = weights[..., :tokens]
        return torch.cat([own / own.sum(-1, keepdim=True), 0 * weights[..., tokens:]], dim=-1)

    joint.attn.drop_weights.register_forward_hook(hide)
    with conditioned():
        torch.testing.assert_close(joint(x), wanted)


def test_weights_of_the_plain_network_fit_the_joint_one() -> None:
    plain, joint = unet(conditional=True), unet(joint=(False, True))
    missing, unexpected = joint.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    new = ("degrade", "norm_seen", ".key.", ".value.")
    assert missing
    assert all(any(part in name for part in new) for name in missing), missing


def test_the_conditional_baseline_hears_the_measurement_and_not_the_operator() -> None:
    blind = NetworkDenoiser(unet(conditional=True))
    x, sigma = randn(3, *SHAPE, seed=3), torch.tensor(0.7).double()
    full = torch.ones(3, *SHAPE).double()
    half = full.clone()
    half[..., :6, :] = 0
    y = inpainting(half).y
    one, other = (Problem(Inpainting(mask), y) for mask in (half, full))
    assert torch.equal(blind(x, sigma, one), blind(x, sigma, other))
    assert (blind(x, sigma, one) - blind(x, sigma)).abs().max() > 1e-3


def test_a_prior_conditioned_on_a_measurement_is_conditional() -> None:
    for prior in (unet(), CASES["hdit"]().double()):
        with pytest.raises(ValueError, match="is a prior, which takes no measurement"):
            NetworkDenoiser(prior)(randn(3, *SHAPE), torch.tensor(0.7).double(), inpainting())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"joint": (True, True)}, r"joint \[True, True\] needs one switch for each of 2 levels"),
        ({"joint": (True,)}, "needs one switch"),
        (
            {"widths": (8, 20), "head_width": 4, "groups": 4, "joint": (False, True), "colour": 3},
            "a width that is a multiple of 12, got 20; the nearest are 12 and 24",
        ),
    ],
)
def test_options_that_do_not_fit_are_named(options: dict[str, Any], message: str) -> None:
    shape = (options.pop("colour", 1), *SHAPE[1:])
    chosen: dict[str, Any] = SMALL | {"attention": (False, True)} | options
    with pytest.raises(ValueError, match=message):
        UNet(shape, **chosen)


@pytest.mark.parametrize("switch", [{"joint": [False, True]}, {"conditional": True}])
def test_both_are_one_switch_away_in_training(switch: dict[str, object], tmp_path: Path) -> None:
    fields = {"name": "unet", "attention": [False, True], **SMALL, **switch}
    network = NetworkConfig.model_validate(fields)
    draw = operators_of(PROBLEM, TRAINED)
    trainer = Trainer.open(
        config(network=network, problem=PROBLEM), source(), VAL, tmp_path, draw_operator=draw
    )
    before = {name: p.detach().clone() for name, p in trainer.denoiser.named_parameters()}
    for _ in range(3):  # the output map starts at zero: what is behind it moves one step later
        assert trainer.step() < 10
    moved = {n for n, p in trainer.denoiser.named_parameters() if not torch.equal(p, before[n])}
    still = {name for name in before if name not in moved}
    assert not still, still


@pytest.mark.usefixtures("as_users_run_it")
def test_inputs_of_the_layer_that_a_network_does_not_have_are_refused() -> None:
    wrong: Any = ("consistent", "rough")
    options: dict[str, Any] = {"attention": (False, True), "joint": (False, True), **SMALL}
    with pytest.raises(ValueError, match="'consistent' is unknown here; it can be raw, norm, proj"):
        UNet(SHAPE, measurement_noise=True, fdl_input=wrong[0], **options)
    with pytest.raises(ValueError, match=r"'rough' is unknown here; .* projected, consistent"):
        InvFussion((1, 8, 8), fdl_input=wrong[1])
