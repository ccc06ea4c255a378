"""Training the principal components of a network along with its mean."""

from pathlib import Path

import torch

from tests.training.test_start import PROBLEM, conditional
from tests.training.test_training import SHAPE, VAL, config, source
from uqrestore.networks.weights import load_tensors
from uqrestore.operators.families import Nothing, PatchInpainting
from uqrestore.operators.mixed import mix
from uqrestore.problem import simulate
from uqrestore.training.components import kinds
from uqrestore.training.config import LossConfig, TrainConfig
from uqrestore.training.loop import train
from uqrestore.training.problems import operators_of
from uqrestore.training.trainer import Trainer


def components_config(**changes: object) -> TrainConfig:
    network = conditional(joint=[True, True], fdl_input="projected", guess=3, components=2)
    loss = LossConfig(pure_noise=1.0)
    return config(network=network, problem=PROBLEM, loss=loss, **changes)


def test_a_resumed_run_with_components_is_the_uninterrupted_one(tmp_path: Path) -> None:
    draw = operators_of(PROBLEM, SHAPE)
    whole = train(components_config(), source(), VAL, tmp_path / "a", draw_operator=draw)
    train(components_config(samples=48), source(), VAL, tmp_path / "b", draw_operator=draw)
    parts = train(components_config(), source(), VAL, tmp_path / "b", draw_operator=draw)
    a, b = load_tensors(whole), load_tensors(parts)
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_the_losses_reach_the_head_of_the_components(tmp_path: Path) -> None:
    draw = operators_of(PROBLEM, SHAPE)
    trainer = Trainer(components_config(), source(), VAL, tmp_path, draw_operator=draw)
    head = trainer.denoiser.get_parameter("network.trunk.more_out.weight")
    before = head.detach().clone()
    for _ in range(3):
        trainer.step()
    assert (head - before).abs().max() > 1e-5
    assert trainer.components.scale.average.keys() == {"inpainting"}


def test_the_kinds_of_a_mixed_batch_are_found() -> None:
    g = torch.Generator().manual_seed(0)
    inpainting, nothing = PatchInpainting(SHAPE), Nothing(SHAPE)
    laws = (inpainting, nothing, inpainting)
    operator = mix([law.draw_one(g) for law in laws])
    found = kinds(simulate(operator, VAL[:3]))
    assert {name: at.tolist() for name, at in found.items()} == {"inpainting": [0, 2], "zero": [1]}
