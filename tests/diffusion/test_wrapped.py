"""Wrapped denoisers: one common base, and conditioning inputs that are laid out once."""

import pytest
import torch

from tests.networks.cases import CASES, SHAPE, awake
from uqrestore.diffusion.denoiser import NetworkDenoiser, PreparedProblem
from uqrestore.diffusion.windowed import WindowedDenoiser
from uqrestore.diffusion.wrapped import Checked, Counting, prepare, uncounted
from uqrestore.methods import METHODS
from uqrestore.networks.measurement import Measurement
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import Problem

BATCH = (3, 2)


def network(seed: int = 0) -> NetworkDenoiser:
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return NetworkDenoiser(awake(CASES["invfussion"]())).requires_grad_(False)


def problem(seed: int = 1) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand((2, *SHAPE), generator=generator) < 0.5).float()
    return Problem(Inpainting(mask), mask * torch.randn(mask.shape, generator=generator))


def noisy(batch: tuple[int, ...] = BATCH) -> torch.Tensor:
    return torch.randn((*batch, *SHAPE), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def laid_out(monkeypatch: pytest.MonkeyPatch) -> list[Problem]:
    """Return the problems whose conditioning inputs have been laid out so far."""
    seen: list[Problem] = []
    once = Measurement.of

    def of(problem: Problem, *rest: object, **options: object) -> Measurement:
        seen.append(problem)
        return once(problem, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Measurement, "of", of)
    return seen


def test_a_prepared_problem_changes_no_bit(laid_out: list[Problem]) -> None:
    denoiser, known, x = network(), problem(), noisy()
    prepared = prepare(Counting(Counting(denoiser)), known, BATCH)
    assert isinstance(prepared, PreparedProblem)
    for sigma in (0.1, 3.0):
        level = torch.tensor(sigma)
        assert torch.equal(denoiser(x, level, prepared), denoiser(x, level, known))
    assert laid_out == [known, known, known], "once in all, and once a call without"


def test_what_was_prepared_for_others_is_laid_out_again(laid_out: list[Problem]) -> None:
    """Another network has another linear estimate, another batch another layout."""
    one, other, known = network(0), network(5), problem()
    prepared = one.prepare(known, BATCH)
    level = torch.tensor(1.0)
    assert torch.equal(other(noisy(), level, prepared), other(noisy(), level, known))
    wide = noisy((5, 2))
    assert torch.equal(one(wide, level, prepared), one(wide, level, known))
    assert len(laid_out) == 1 + 4


def test_two_problems_never_share_their_inputs() -> None:
    """A sampler of one problem after another gets the answers of fresh denoisers."""

    def draw(denoiser: NetworkDenoiser, seed: int) -> torch.Tensor:
        noise = SampleNoise(0, range(3), slices=range(2))
        return METHODS["conditional"](problem(seed), denoiser, noise, steps=2, sampler="euler")

    denoiser = network()
    for seed in (1, 2, 1):
        assert torch.equal(draw(denoiser, seed), draw(network(), seed))


def test_a_sampler_lays_out_once(laid_out: list[Problem]) -> None:
    noise = SampleNoise(0, range(3), slices=range(2))
    METHODS["conditional"](problem(), Counting(network()), noise, steps=4)
    assert len(laid_out) == 1


def test_other_denoisers_take_the_problem_as_it_is() -> None:
    known = problem()
    assert prepare(gaussian_field(SHAPE), known, BATCH) is known


def test_wrappers_show_what_is_inside() -> None:
    inner, prior = network(), gaussian_field((1, 8, 8))
    for wrapper in (Counting(Counting(inner)), Checked(Counting(inner), "x")):
        assert wrapper.network is inner
        assert wrapper.in_shape == inner.in_shape
    windowed = WindowedDenoiser(prior, (12, 9))
    assert Counting(windowed).network is None
    assert Counting(windowed).in_shape == (1, 12, 9)
    assert uncounted(Counting(Counting(prior))) is prior
