"""Training the principal components of a network along with its mean."""

from pathlib import Path

import pytest
import torch

from tests.training.test_start import PROBLEM, conditional
from tests.training.test_training import SHAPE, VAL, config, source
from uqrestore.diffusion.posterior_mean import posterior_moments
from uqrestore.networks.weights import load_tensors, save_tensors
from uqrestore.noise import SampleNoise
from uqrestore.operators.mixed import mix
from uqrestore.operators.random.mixture import Nothing, PatchInpainting
from uqrestore.problem import simulate
from uqrestore.training.batch import operators_of
from uqrestore.training.components import kinds
from uqrestore.training.config import TrainConfig
from uqrestore.training.loop import train
from uqrestore.training.loss_config import ComponentsConfig, LossConfig
from uqrestore.training.trainer import Trainer

HEAD = "network.trunk.more_out.weight"


def components_config(**changes: object) -> TrainConfig:
    network = conditional(joint=[True, True], fdl_input="projected", guess=3, components=2)
    loss = LossConfig(pure_noise=1.0)
    return config(**{"network": network, "problem": PROBLEM, "loss": loss, **changes})


def test_a_resumed_run_with_components_is_the_uninterrupted_one(tmp_path: Path) -> None:
    draw = operators_of(PROBLEM, SHAPE)
    whole = train(components_config(), source(), VAL, tmp_path / "a", draw_operator=draw)
    train(components_config(samples=48), source(), VAL, tmp_path / "b", draw_operator=draw)
    parts = train(components_config(), source(), VAL, tmp_path / "b", draw_operator=draw)
    a, b = load_tensors(whole), load_tensors(parts)
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_the_losses_reach_the_head_of_the_components(tmp_path: Path) -> None:
    draw = operators_of(PROBLEM, SHAPE)
    trainer = Trainer.open(components_config(), source(), VAL, tmp_path, draw_operator=draw)
    head = trainer.denoiser.get_parameter(HEAD)
    before = head.detach().clone()
    for _ in range(3):
        trainer.step()
    assert (head - before).abs().max() > 1e-5
    assert trainer.components.scale.average.keys() == {"inpainting"}


def test_components_of_a_frozen_base_describe_its_error_and_leave_it_alone(tmp_path: Path) -> None:
    draw, start = operators_of(PROBLEM, SHAPE), tmp_path / "start.safetensors"
    plain = components_config()
    state = Trainer.open(
        plain, source(), VAL, tmp_path / "a", draw_operator=draw
    ).denoiser.state_dict()
    g = torch.Generator().manual_seed(0)
    awake = {k: v + 0.05 * torch.randn(v.shape, generator=g) for k, v in state.items()}
    save_tensors(start, awake)
    frozen = ComponentsConfig(base="frozen")
    settings = components_config(
        start=str(start), samples=48, loss=LossConfig(pure_noise=1.0, components=frozen)
    )
    train(settings, source(), VAL, tmp_path / "b", draw_operator=draw)
    longer = settings.model_copy(update={"samples": 96})
    again = Trainer.open(longer, source(), VAL, tmp_path / "b", draw_operator=draw)
    assert again.base is not None
    held = again.base.state()
    assert all(torch.equal(held[k], awake[k]) for k in awake), "saved, and never trained"
    assert not torch.equal(again.denoiser.state_dict()[HEAD], awake[HEAD])

    problem = simulate(draw(3, g), VAL[:3])
    base = again.base.denoiser
    both = posterior_moments(
        again.denoiser, problem, SampleNoise(0, [0], slices=range(3)), base=base
    )
    alone = posterior_moments(base, problem, SampleNoise(0, [0], slices=range(3)))
    assert torch.equal(both.mean, alone.mean)
    assert not torch.equal(both.directions, alone.directions)
    lost = settings.model_copy(update={"start": None})
    with pytest.raises(ValueError, match="starts from no weights"):
        Trainer.open(lost, source(), VAL, tmp_path / "c", draw_operator=draw)


def test_the_kinds_of_a_mixed_batch_are_found() -> None:
    g = torch.Generator().manual_seed(0)
    inpainting, nothing = PatchInpainting(SHAPE), Nothing(SHAPE)
    distributions = (inpainting, nothing, inpainting)
    operator = mix([model.draw_one(g) for model in distributions])
    found = kinds(simulate(operator, VAL[:3]))
    assert {name: at.tolist() for name, at in found.items()} == {"inpainting": [0, 2], "zero": [1]}
