"""Classes and classifier-free guidance, the same for every method."""

import pytest
import torch
from torch import Tensor

from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.problem import Problem, simulate

SHAPE = (1, 4, 6)
PLAIN = 10.0
"""What the denoiser answers without a label; with one, the label."""


class Classes:
    """A denoiser that answers its label, and counts its calls."""

    in_shape = SHAPE

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self,
        x: Tensor,
        sigma: Tensor,  # noqa: ARG002
        problem: Problem | None = None,  # noqa: ARG002
        label: Tensor | None = None,
    ) -> Tensor:
        self.calls += 1
        value = torch.tensor(PLAIN) if label is None else label.expand(x.shape[:-3]).float()
        return value[..., None, None, None].expand(x.shape).clone()


def draw(denoiser: Classes, problems: int = 3, **options: object) -> Tensor:
    mask = torch.zeros(problems, *SHAPE)
    mask[..., 0] = 1
    problem = simulate(Inpainting(mask), torch.zeros(problems, *SHAPE))
    noise = SampleNoise(0, range(2), slices=range(problems))
    drawn = METHODS["conditional"](
        problem, denoiser, noise, steps=4, sampler="euler", project=False, **options
    )
    return drawn[..., 0, 0, 0]


@pytest.mark.parametrize(
    ("guidance", "wanted"), [(1.0, 3.0), (0.0, PLAIN), (2.0, -4.0), (0.5, 6.5)]
)
def test_guidance_is_linear_between_and_beyond_the_two_answers(
    guidance: float, wanted: float
) -> None:
    drawn = draw(Classes(), label=3, guidance=guidance)
    torch.testing.assert_close(drawn, torch.full((2, 3), wanted))


def test_guidance_of_one_costs_no_second_call() -> None:
    plain, guided = Classes(), Classes()
    draw(plain, label=3)
    draw(guided, label=3, guidance=2.0)
    assert plain.calls == 4
    assert guided.calls == 8


def test_every_problem_may_have_a_class_of_its_own() -> None:
    drawn = draw(Classes(), label=(0, 5, 7))
    torch.testing.assert_close(drawn, torch.tensor([[0.0, 5, 7]] * 2))
