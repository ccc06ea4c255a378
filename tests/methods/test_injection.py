"""Attention injection in SSD: which levels, what comes back, and when it is refused."""

import pytest
import torch
from torch import nn

from tests.networks.cases import CASES, SHAPE, awake
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.schedules import ddpm_table
from uqrestore.diffusion.wrapped import Counting
from uqrestore.methods import METHODS
from uqrestore.methods.ssd import shortcut
from uqrestore.networks.attention_tape import AttentionTape
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import Problem

OPTIONS = {"inversion_points": 5, "steps": 6}


def times(levels: list[float]) -> list[int]:
    table = ddpm_table().tolist()
    return [table.index(level) for level in levels]


@pytest.mark.parametrize(
    ("t0", "points", "steps", "injection", "chosen"),
    [
        (550, 15, 85, 8, [235, 274, 314, 353, 392, 431, 471, 510]),
        (550, 5, 25, 2, [274, 412]),
        (750, 15, 85, 8, [321, 374, 428, 482, 535, 588, 642, 696]),
        (750, 5, 25, 2, [374, 562]),
    ],
)
def test_the_levels_are_the_published_ones(
    t0: int, points: int, steps: int, injection: int, chosen: list[int]
) -> None:
    up, down = shortcut(t0, points, steps, injection)
    assert times(up[-1 - injection : -1]) == chosen
    generation = times(down[:-1])
    assert set(chosen) <= set(generation)
    assert generation == sorted(set(generation), reverse=True)
    assert len(generation) == steps
    plain = times(shortcut(t0, points, steps)[1][:-1])
    changed = {a: b for a, b in zip(plain, generation, strict=True) if a != b}
    if (t0, steps) == (750, 85):
        assert changed == {375: 374, 589: 588, 704: 696}


def network(name: str = "hdit") -> NetworkDenoiser:
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        return NetworkDenoiser(awake(CASES[name]().double())).requires_grad_(False)


def problem() -> Problem:
    mask = (torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    return Problem(Inpainting(mask), mask * 0.5)


@pytest.mark.parametrize("name", ["hdit", "unet"])
@pytest.mark.parametrize("method", ["ssd", "ssd_plus"])
def test_every_recorded_map_is_injected_once(
    name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tapes: list[AttentionTape] = []
    depths: list[int] = []

    class Watched(AttentionTape):
        def __init__(self, model: nn.Module) -> None:
            super().__init__(model)
            tapes.append(self)

        def inject(self):  # noqa: ANN202 - as of the tape
            depths.append(len(self))
            return super().inject()

    monkeypatch.setattr("uqrestore.methods._injection.AttentionTape", Watched)
    counting, noise = Counting(network(name)), SampleNoise(0, range(2))
    images = METHODS[method](problem(), counting, noise, injection=2, **OPTIONS)
    plain = METHODS[method](problem(), counting, SampleNoise(0, range(2)), **OPTIONS)
    assert depths == [2, 1]
    assert len(tapes[0]) == 0
    assert counting.calls == 2 * (4 + 6)
    assert (images - plain).abs().max() > 1e-6
    torch.testing.assert_close(problem().operator(images), problem().y.expand(2, *SHAPE))


def test_a_prior_without_attention_is_named() -> None:
    noise = SampleNoise(0, range(2))
    with pytest.raises(ValueError, match="GaussianPrior has none"):
        METHODS["ssd"](problem(), gaussian_field(SHAPE), noise, injection=2, **OPTIONS)


def test_more_levels_than_there_are_is_named() -> None:
    with pytest.raises(ValueError, match="0 to 3 of 5 points, got 4"):
        METHODS["ssd"](problem(), network(), SampleNoise(0, [0]), injection=4, **OPTIONS)


def test_the_network_is_found_behind_its_wrappers() -> None:
    inner = network()
    assert Counting(Counting(inner)).network is inner
    assert Counting(gaussian_field(SHAPE)).network is None
