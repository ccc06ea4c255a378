"""Flow matching and bridges as preconditionings: their published definitions, number by number."""

import pytest
import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.preconditioning import Preconditioning
from uqrestore.networks.backbone import Backbone
from uqrestore.networks.measurement import Measurement
from uqrestore.operators import Inpainting
from uqrestore.problem import Problem, simulate
from uqrestore.training.config import TrainConfig

SHAPE = (2, 5, 3)
SIGMA = torch.tensor([0.02, 0.5, 7.0], dtype=torch.float64)
WIDE = (-1, 1, 1, 1)


class Recorder(Backbone):
    """Returns what it was given, and keeps what it saw."""

    conditional = True

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.image_shape, self.output = SHAPE, output

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        label: Tensor | None = None,  # noqa: ARG002 - of the interface
        measurement: Measurement | None = None,  # noqa: ARG002
        *,
        augment: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        self.saw, self.level = x, c_noise
        return self.output


def images(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)


def masked() -> Problem:
    mask = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0)) < 0.6
    return simulate(Inpainting(mask).to(torch.float64), images(4), noise_std=0.1, seed=0)


def test_flow_sees_the_straight_path_and_the_exact_velocity_gives_the_image() -> None:
    truth, noise = images(0), images(1)
    time = (SIGMA / (1 + SIGMA)).reshape(WIDE)
    network = Recorder(noise - truth)
    denoise = NetworkDenoiser(network, Preconditioning(kind="flow"))
    clean = denoise(truth + SIGMA.reshape(WIDE) * noise, SIGMA)
    torch.testing.assert_close(network.saw, (1 - time) * truth + time * noise)
    torch.testing.assert_close(network.level, torch.logit(time.flatten()) / 4)
    torch.testing.assert_close(clean, truth)


def test_bridge_sees_a_brownian_bridge_from_the_back_projection() -> None:
    truth, noise, problem, scale = images(0), images(1), masked(), 0.4
    start = problem.operator.pinv(problem.y)
    time = (SIGMA**2 / (scale**2 + SIGMA**2)).reshape(WIDE)
    between = (1 - time) * truth + time * start + scale * (time * (1 - time)).sqrt() * noise
    network = Recorder((truth - between) / (scale * time.sqrt()))
    denoise = NetworkDenoiser(network, Preconditioning(scale, "bridge"))
    clean = denoise(truth + SIGMA.reshape(WIDE) * noise, SIGMA, problem)
    torch.testing.assert_close(network.saw, between)
    torch.testing.assert_close(clean, truth)


@pytest.mark.parametrize("kind", ["edm", "flow", "bridge"])
def test_weight_makes_the_error_of_an_image_that_of_the_output(kind: str) -> None:
    scale = Preconditioning(0.4, kind)  # type: ignore[arg-type]
    one, other = (NetworkDenoiser(Recorder(images(k)), scale) for k in (5, 6))
    x = images(7)
    error = (one(x, SIGMA) - other(x, SIGMA)).square()
    torch.testing.assert_close(
        scale.weight(SIGMA).reshape(WIDE) * error, (images(5) - images(6)).square()
    )


def config(**more: object) -> TrainConfig:
    return TrainConfig.model_validate({"data": {"shape": (1, 8, 8)}, "samples": 8, **more})


def test_noise_levels_follow_the_published_times() -> None:
    flow = config(loss={"kind": "flow"}).loss
    assert (flow.log_mean, flow.log_std) == (0.0, 1.0)
    assert config(loss={"kind": "flow", "log_mean": 0.5}).loss.log_mean == 0.5
    assert "kind" not in config().loss.model_dump()
    assert config(loss=flow.model_dump()).loss == flow


def test_what_a_loss_needs() -> None:
    with pytest.raises(ValueError, match=r"bridge.*no problem.*edm or flow"):
        config(loss={"kind": "bridge"})
    with pytest.raises(ValueError, match=r"flow.*final_steps"):
        config(loss={"kind": "flow"}, network={"name": "invfussion", "final_steps": 2})
