"""A network that is told what it said itself a call before."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.diffusion.test_one_call import BATCH, NOISE, inpainting, network, randn
from tests.networks.cases import SHAPE
from tests.training import test_training as small
from tests.training.test_start import PROBLEM, conditional
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.one_call import DROWNED, one_call
from uqrestore.methods import METHODS
from uqrestore.networks import InvFussion
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem, simulate
from uqrestore.training.config import TrainConfig
from uqrestore.training.loop import train
from uqrestore.training.problems import operators_of
from uqrestore.training.trainer import Trainer


def told_itself() -> NetworkDenoiser:
    made = network(0)
    assert isinstance(made.network, InvFussion)
    made.network.self_condition = True
    return made


def problem() -> Problem:
    return simulate(inpainting(), randn(BATCH, *SHAPE, seed=5))


def noise(samples: int = 1) -> SampleNoise:
    return SampleNoise(0, range(samples), slices=range(BATCH))


class Heard(NetworkDenoiser):
    """Keeps what every call is told and answers."""

    def __init__(self, of: NetworkDenoiser) -> None:
        super().__init__(of.network)
        self.heard: list[Tensor | None] = []
        self.said: list[Tensor] = []

    def forward(
        self,
        x_t: Tensor,
        sigma: Tensor,
        problem: Problem | None = None,
        label: Tensor | None = None,
        *,
        estimate: Tensor | None = None,
    ) -> Tensor:
        self.heard.append(estimate)
        self.said.append(super().forward(x_t, sigma, problem, label, estimate=estimate))
        return self.said[-1]


def test_an_estimate_takes_the_place_of_the_guess() -> None:
    denoiser, measured = told_itself(), problem()
    assert isinstance(denoiser.network, InvFussion)
    assert denoiser.network.linear_guess is not None
    guess = denoiser.network.linear_guess(measured)
    x, sigma = randn(BATCH, *SHAPE, seed=6), torch.tensor(2.0, dtype=torch.float64)
    plain = denoiser(x, sigma, measured)
    torch.testing.assert_close(denoiser(x, sigma, measured, estimate=guess), plain)
    other = denoiser(x, sigma, measured, estimate=guess + 1)
    assert (other - plain).abs().max() > 1e-3
    torch.testing.assert_close(denoiser(x, sigma, measured), plain)


def test_a_second_call_goes_on_from_the_first() -> None:
    denoiser, measured = told_itself(), problem()
    first, second = (one_call(denoiser, measured, noise(), calls=n).mean for n in (1, 2))
    pure = DROWNED * noise().normal(SHAPE, measured.y)[0]
    level = torch.tensor(DROWNED, dtype=torch.float64)
    again = measured.project(denoiser(pure, level, measured, estimate=first))
    torch.testing.assert_close(second, again)
    assert (second - first).abs().max() > 1e-3


def test_draws_go_on_from_call_to_call() -> None:
    measured, denoiser = problem(), Heard(told_itself())
    METHODS["conditional"](measured, denoiser, noise(2), steps=5, sampler="dpmpp_2m")
    assert denoiser.heard[0] is None
    assert len(denoiser.heard) == 5
    for told, said in zip(denoiser.heard[1:], denoiser.said, strict=False):
        assert told is not None
        torch.testing.assert_close(told, measured.project(said))


def test_a_network_that_is_not_trained_for_it_is_never_told() -> None:
    denoiser = Heard(network(0))
    METHODS["conditional"](problem(), denoiser, noise(), steps=3)
    assert denoiser.heard == [None] * 5
    with pytest.raises(ValueError, match="2 calls are asked"):
        one_call(denoiser, problem(), noise(), calls=2)
    with pytest.raises(ValueError, match="0 calls are asked"):
        one_call(told_itself(), problem(), NOISE, calls=0)


def test_without_a_guess_there_is_no_place_for_it() -> None:
    with pytest.raises(ValueError, match="self_condition True"):
        InvFussion(SHAPE, patch=2, widths=(16,), depths=(1,), attention=("global",), joint=(True,),
                   self_condition=True)  # fmt: skip


def test_every_other_step_of_a_training_goes_on_from_its_own_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = conditional(joint=[True, True], fdl_input="projected", guess=3, self_condition=True)
    config = small.config(network=said, problem=PROBLEM, samples=1600)
    draw = operators_of(PROBLEM, small.SHAPE)
    trainer = Trainer(config, small.source(), small.VAL, tmp_path / "a", draw_operator=draw)
    told = []
    ask: Callable[..., tuple[Tensor, Tensor]] = trainer.network

    def heard(*args: object, **more: Tensor) -> tuple[Tensor, Tensor]:
        told.append("estimate" in more)
        assert not more.get("estimate", torch.zeros(())).requires_grad
        return ask(*args, **more)

    monkeypatch.setattr(trainer, "network", heard)
    steps = 60
    for _ in range(steps):
        trainer.step()
    assert 0.3 * steps < sum(told) < 0.7 * steps
    assert len(told) == steps + sum(told), "one call more, where there is an estimate to be made"


def test_a_resumed_training_with_it_is_the_uninterrupted_one(tmp_path: Path) -> None:
    said = conditional(joint=[True, True], fdl_input="projected", guess=3, self_condition=True)
    config = small.config(network=said, problem=PROBLEM)
    draw = operators_of(PROBLEM, small.SHAPE)
    part = config.model_copy(update={"samples": 48})

    def run(said: TrainConfig, place: str) -> Path:
        return train(said, small.source(), small.VAL, tmp_path / place, draw_operator=draw)

    whole = run(config, "a")
    run(part, "b")
    parts = run(config, "b")
    assert whole.read_bytes() == parts.read_bytes()
