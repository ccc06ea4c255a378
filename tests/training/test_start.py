"""A run that starts from the weights of another network."""

from pathlib import Path

import pytest
import torch

import uqrestore.training.trainer as trainer_module
from tests.training.test_training import SHAPE, VAL, config, source
from uqrestore.networks.weights import WeightsError, save_tensors
from uqrestore.operators.random.mixture import PatchInpainting
from uqrestore.problem import simulate
from uqrestore.training.batch import operators_of
from uqrestore.training.config import FamilyConfig, NetworkConfig, ProblemConfig
from uqrestore.training.data import Drawn
from uqrestore.training.trainer import Trainer, build_denoiser
from uqrestore.training.validation import save_picture
from uqrestore.training.warm_start import start_from

PROBLEM = ProblemConfig(families={"patch_inpainting": FamilyConfig(share=1.0)})


def conditional(**options: object) -> NetworkConfig:
    fields = {**config().network.options, "name": "invfussion", **options}
    return NetworkConfig.model_validate(fields)


def prior(folder: Path) -> Path:
    """Weights of a small prior that is not at rest."""
    path = folder / "prior.safetensors"
    state = build_denoiser(config()).state_dict()
    g = torch.Generator().manual_seed(3)
    awake = {k: v + 0.05 * torch.randn(v.shape, generator=g) for k, v in state.items()}
    save_tensors(path, awake)
    return path


def test_palette_started_from_a_prior_is_the_prior(tmp_path: Path) -> None:
    """Its further input channel starts at zero: whatever was measured, it is not heard yet."""
    path = prior(tmp_path)
    plain = build_denoiser(config())
    assert start_from(plain, path) == []
    palette = build_denoiser(
        config(network=conditional(joint=[False, False], measurement_noise=False))
    )
    assert start_from(palette, path) == []
    x, sigma = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(1)), torch.tensor(0.7)
    operator = PatchInpainting(SHAPE).draw(torch.Generator().manual_seed(2), 4)
    problem = simulate(operator, VAL[:4])
    torch.testing.assert_close(palette(x, sigma, problem), plain(x, sigma))


def test_what_only_a_conditional_network_has_stays_as_drawn(tmp_path: Path) -> None:
    made = build_denoiser(config(network=conditional(joint=[True, True], fdl_input="projected")))
    fresh = start_from(made, prior(tmp_path))
    assert all(any(part in name for part in NEW) for name in fresh), fresh
    assert any("degrade" in name for name in fresh)


def test_a_network_of_more_inputs_starts_as_that_of_fewer(tmp_path: Path) -> None:
    fields = {"joint": [True, True], "fdl_input": "projected", "guess": 3, "components": 2}
    less = build_denoiser(config(network=conditional(**fields)))
    g = torch.Generator().manual_seed(3)
    state = less.state_dict()
    awake = {k: v + 0.05 * torch.randn(v.shape, generator=g) for k, v in state.items()}
    less.load_state_dict(awake)
    path = tmp_path / "less.safetensors"
    save_tensors(path, awake)
    more = build_denoiser(
        config(network=conditional(**fields, pass_guess=True, component_rounds=2))
    )
    assert start_from(more, path) == ["network.pass_guess.bias", "network.pass_guess.weight"]
    x, sigma = torch.randn(4, *SHAPE, generator=g), torch.tensor(0.7)
    problem = simulate(PatchInpainting(SHAPE).draw(g, 4), VAL[:4])
    torch.testing.assert_close(more(x, sigma, problem), less(x, sigma, problem))


NEW = ("degrade", "attention.norm", "attention.key", "attention.value", "direct", "measurement")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = config(network=conditional(widths=[24, 24], joint=[False, False]))
    with pytest.raises(WeightsError, match="fits less than half"):
        start_from(build_denoiser(other), prior(tmp_path))


def test_the_model_of_an_estimate_comes_with_the_weights(tmp_path: Path) -> None:
    network = conditional(
        joint=[True, True], fdl_input="projected", guess=3, guess_rank=4, guess_classes=2
    )
    fields = config(network=network, problem=PROBLEM, samples=16)
    draw = operators_of(PROBLEM, SHAPE)
    first = Trainer.open(fields, source(), VAL, tmp_path / "first", draw_operator=draw)
    first.save()
    start = str(tmp_path / "first" / "ema.safetensors")
    fields = fields.model_copy(update={"start": start, "seed": 5})
    then = Trainer.open(fields, source(), VAL, tmp_path / "then", draw_operator=draw)
    model = [trainer.denoiser.get_buffer(MEANS) for trainer in (first, then)]
    assert float(model[0].std()) > 0
    assert torch.equal(*model)


def test_an_estimate_of_large_images_is_fitted_to_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(count: int, generator: torch.Generator) -> Drawn:
        asked.append(count)
        return Drawn.of(source()(count, generator))

    monkeypatch.setattr(trainer_module, "FIT_PIXELS", 700 * VAL[0].numel())
    network = conditional(joint=[True, True], fdl_input="projected", guess=3)
    fields = config(network=network, problem=PROBLEM, samples=16)
    Trainer.open(fields, counted, VAL, tmp_path, draw_operator=operators_of(PROBLEM, SHAPE))
    assert asked == [500, 200]


MEANS = "network.linear_guess.class_means"


def test_a_run_starts_once_and_then_resumes_from_its_own_state(tmp_path: Path) -> None:
    path = prior(tmp_path)
    network = conditional(joint=[True, True], fdl_input="projected", guess=3)
    fields = config(network=network, problem=PROBLEM, start=str(path), samples=16)
    draw = operators_of(PROBLEM, SHAPE)
    trainer = Trainer.open(fields, source(), VAL, tmp_path, draw_operator=draw)
    std = trainer.denoiser.get_buffer("network.linear_guess.std")
    assert float(std.std()) > 0, "the model of the estimate is that of the images"
    trainer.step()
    trainer.save()
    path.unlink()
    again = Trainer.open(fields, source(), VAL, tmp_path, draw_operator=draw)
    for a, b in zip(trainer.ema.buffers(), again.ema.buffers(), strict=True):
        assert torch.equal(a, b)
    assert again.seen == trainer.seen
    measured = again.validate()
    assert 0 < measured["mmse_psnr_patch_inpainting"] < 40
    assert again.probes is not None
    save_picture(tmp_path / "validation.png", again.ema, again.probes, 100.0)
    assert (tmp_path / "validation.png").stat().st_size > 1000
