"""Properties of every method, and its bias held to its card."""

import inspect
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import uqrestore.zoo
from tests.benchmarks.card_plans import PLANS
from tests.benchmarks.cards import as_page, fits, summary_page, verdict
from tests.methods.tapes import Walled
from uqrestore.benchmarks.exact import exact_draws, measure, prior_draws
from uqrestore.diffusion.error_model import error_model
from uqrestore.diffusion.schedules import Schedule
from uqrestore.diffusion.wrapped import Counting
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting, MaskedFourier, Matrix
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import Problem, simulate

CARDS = Path(uqrestore.zoo.__file__).parent / "cards"
SHAPE = (1, 7, 6)


@dataclass(frozen=True)
class Case:
    """Quick options of a method, and the measurement noise it is for."""

    options: dict[str, Any]
    noise_std: float = 0.1


CASES: dict[str, Case] = {
    "conditional": Case({"steps": 6}),
    "daps": Case({"levels": 6, "langevin_steps": 4}),
    "ddnm": Case({"steps": 10}, noise_std=0.0),
    "ddnm_plus": Case({"steps": 10}),
    "ddrm": Case({"steps": 10}),
    "diffpir": Case({"steps": 10}),
    "dps": Case({"steps": 10}),
    "exact": Case({}),
    "fitted_gaussian": Case({"levels": 6}),
    "local_gaussian": Case({"levels": 5}),
    "local_laplace": Case({"levels": 5, "leaps": 1}),
    "moment_matching": Case({"steps": 5}),
    "pigdm": Case({"steps": 30}),
    "ssd": Case({"inversion_points": 4, "steps": 8}, noise_std=0.0),
    "ssd_plus": Case({"inversion_points": 4, "steps": 8}),
}
ADAPTIVE = {"local_laplace"}
"""Methods whose solves stop once they have converged, which other truths do elsewhere."""
NOISE_FREE = sorted(name for name, case in CASES.items() if case.noise_std == 0)


CARDED = sorted(path.stem for path in CARDS.glob("*.json"))


def card(name: str) -> dict[str, Any]:
    return json.loads((CARDS / f"{name}.json").read_text())


def problem(name: str, count: int = 3) -> Problem:
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(count, *SHAPE[1:], generator=g) < 0.5
    truth = gaussian_field(SHAPE).draw(SampleNoise(0, [0], slices=range(count)))[0]
    noise = SampleNoise(1, [0], slices=range(count))
    known = MaskedFourier(mask, channels=1)
    return simulate(known, truth, noise_std=CASES[name].noise_std, noise=noise)


@pytest.fixture(params=sorted(METHODS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_method_has_its_bias_on_record() -> None:
    assert set(CARDED) == set(METHODS) == set(PLANS)
    assert set(CASES) == set(METHODS), "add the case of the new method"


def cases() -> list[Any]:
    """Every variant on one operator, another for each; what takes minutes only by name."""
    found, operators = [], ("masked_fourier", "inpainting", "strided_blur")
    for name in CARDED:
        for index, variant in enumerate(PLANS[name]):
            rows = [row for row in card(name)["measured"] if row["variant"] == variant]
            operator = operators[(len(name) + index) % len(operators)]  # whatever else has a card
            row = next(row for row in rows if row["operator"] == operator)
            slow = row["calls"] + 2 * row["products"] > 300
            marks = [pytest.mark.slow] * slow
            found.append(pytest.param(name, row, id=f"{name}, {variant}", marks=marks))
    return found


@pytest.mark.parametrize(("name", "row"), cases())
def test_the_bias_is_the_one_on_the_card(name: str, row: dict[str, Any]) -> None:
    """A small case, of other truths and draws, lies in the band of the card."""
    score = measure(
        METHODS[name],
        row["operator"],
        noise_std=row["noise_std"],
        truths=4,
        draws=40,
        seed=5,
        **row["options"],
    )
    if name in ADAPTIVE:
        assert score.products == pytest.approx(row["products"], rel=0.2)
        score = replace(score, products=row["products"])
    assert fits(score, row), f"{score} against {row}"
    if name in NOISE_FREE:
        assert score.residual < 1e-9


def test_the_calibrated_method_is_calibrated() -> None:
    """What is asked of it at 200 calls, on the whole card."""
    rows = [row for row in card("local_gaussian")["measured"] if row["variant"] == "defaults"]
    assert {row["noise_std"] for row in rows} == {0.0, 0.01, 0.05, 0.2}
    for row in rows:
        assert row["calls"] + 2 * row["products"] <= 200
        assert row["mean_error"] <= 1.1 * row["mean_error_floor"]
        assert 0.95 <= row["variance_ratio"] <= 1.05


def test_exact_draws_are_where_the_floor_is() -> None:
    """The bench itself: draws of the exact posterior score 1, and prior draws do not."""
    right = measure(exact_draws, "masked_fourier", truths=6, draws=64)
    assert right.mean_error == pytest.approx(right.mean_error_floor, rel=0.25)
    assert right.variance_ratio == pytest.approx(1, abs=0.08)
    assert right.coverage_90 == pytest.approx(0.9, abs=0.04)
    wrong = measure(prior_draws, "inpainting", truths=6, draws=64)
    assert wrong.mean_error > 3 * wrong.mean_error_floor
    assert wrong.residual > 0.1


@pytest.mark.parametrize("name", NOISE_FREE)
def test_every_draw_explains_the_measurement(name: str) -> None:
    known = problem(name)
    noise = SampleNoise(1, range(4), slices=range(3))
    images = METHODS[name](known, gaussian_field(SHAPE), noise, **CASES[name].options)
    assert images.shape == (4, 3, *SHAPE)
    torch.testing.assert_close(known.operator(images), known.y.expand(4, *known.y.shape))


def test_the_batch_changes_no_draw(name: str) -> None:
    known, prior, options = problem(name), gaussian_field(SHAPE), CASES[name].options
    whole = METHODS[name](known, prior, SampleNoise(1, range(4), slices=range(3)), **options)
    for i in (0, 3):
        for j in (0, 2):
            one = Problem(known.operator.select(j), known.y[j], known.noise_std)
            alone = METHODS[name](one, prior, SampleNoise(1, [i], slices=j), **options)
            torch.testing.assert_close(alone[0], whole[i, j], rtol=0, atol=1e-10)


def test_complex_images_are_two_real_channels(name: str) -> None:
    """K-space of complex images, where the noise is that of each real component.

    Over six images: eigenvectors of equal eigenvalues, and so a single draw, differ by machine.
    """
    prior, noise_std = gaussian_field((2, 7, 6)), CASES[name].noise_std
    mask = torch.rand(7, 6, generator=torch.Generator().manual_seed(1)) < 0.5
    known = MaskedFourier(mask, channels=2)
    images = range(6)
    truth = prior.draw(SampleNoise(0, [0], slices=images))[0]
    streams = SampleNoise(1, [0], slices=images)
    problem = simulate(known, truth, noise_std=noise_std, noise=streams)
    steps = {"daps": {"levels": 20}, "pigdm": {"steps": 60}}
    steps |= {key: {"steps": 20} for key in ("ddnm_plus", "ddrm", "diffpir")}
    options = CASES[name].options | steps.get(name, {})
    draws = METHODS[name](problem, prior, SampleNoise(2, range(30), slices=images), **options)
    assert draws.shape == (30, 6, 2, 7, 6)
    if noise_std == 0:
        torch.testing.assert_close(known(draws), problem.y.expand(30, *problem.y.shape))
    posterior = prior.posterior(problem)
    apart = (draws.mean(0) - posterior.mean).norm() / posterior.std.norm()
    far = (posterior.mean - prior.mean).norm() / posterior.std.norm()
    assert apart < (2.0 if name == "dps" else 0.6), "dps at ten steps has hardly seen the data"
    assert far > 0.6


@pytest.mark.parametrize("name", sorted(set(CASES) - {"exact"}))
def test_nan_from_the_network_is_an_error_that_names_method_step_and_sigma(name: str) -> None:
    class Broken:
        in_shape = SHAPE
        errors = error_model(gaussian_field(SHAPE))
        calls = 0

        def __call__(self, x: Tensor, *context: object) -> Tensor:
            del context
            self.calls += 1
            return x if self.calls < 3 else x * torch.nan

    with pytest.raises(FloatingPointError, match=rf"{name}( diverged)?: at step 3 .*sigma="):
        METHODS[name](
            problem(name, 1), Broken(), SampleNoise(0, [0], slices=[0]), **CASES[name].options
        )


def test_a_method_that_diverges_says_so() -> None:
    class Overshooting:
        in_shape = SHAPE

        def __call__(self, x: Tensor, *context: object) -> Tensor:
            del context
            return x.clamp(-1e300, 1e300) * 1e200

    noise = SampleNoise(0, [0], slices=[0])
    with pytest.raises(FloatingPointError, match=r"pigdm diverged: .* values of its images"):
        METHODS["pigdm"](problem("pigdm", 1), Overshooting(), noise, sigmas=[1.0, 0.0])


@pytest.mark.parametrize("name", NOISE_FREE)
def test_noise_is_refused_where_the_method_has_no_use_for_it(name: str) -> None:
    known = Problem(problem(name, 1).operator, problem(name, 1).y, 0.1)
    with pytest.raises(ValueError, match=f"{name} restores noise-free measurements"):
        METHODS[name](known, gaussian_field(SHAPE), SampleNoise(0, [0], slices=[0]))


def test_an_unknown_option_is_answered_with_the_nearest(name: str) -> None:
    noise = SampleNoise(0, [0], slices=[0])
    with pytest.raises(ValueError, match=r"Did you mean 'guidance'\?"):
        METHODS[name](problem(name, 1), gaussian_field(SHAPE), noise, guidanse=3)


@pytest.mark.parametrize("name", NOISE_FREE)
def test_an_unknown_preset_is_named(name: str) -> None:
    noise = SampleNoise(0, [0], slices=[0])
    with pytest.raises(ValueError, match=f"{name} has no preset 'fast'"):
        METHODS[name](problem(name, 1), gaussian_field(SHAPE), noise, preset="fast")


def test_streams_that_do_not_fit_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"streams of shape \(2,\) but the problem has"):
        METHODS[name](problem(name), gaussian_field(SHAPE), SampleNoise(0, range(2)))


def test_a_prior_of_other_images_is_named(name: str) -> None:
    noise = SampleNoise(0, [0], slices=[0])
    with pytest.raises(ValueError, match=r"prior makes images of shape \(1, 5, 5\)"):
        METHODS[name](problem(name, 1), gaussian_field((1, 5, 5)), noise)


@pytest.mark.parametrize(
    ("name", "options", "calls"),
    [
        ("ssd", {"preset": "30"}, 29),
        ("ssd", {"preset": "100"}, 99),
        ("ddnm", {"steps": 17}, 17),
        ("ddnm", {"steps": 100, "travel_length": 2, "travel_repeat": 2}, 198),
        ("ddnm", {"steps": 100, "travel_length": 10, "travel_repeat": 3}, 280),
        ("ddnm_plus", {"steps": 100, "travel_length": 2, "travel_repeat": 2}, 198),
    ],
)
def test_methods_make_as_many_calls_as_they_say(
    name: str, options: dict[str, Any], calls: int
) -> None:
    counting = Counting(gaussian_field(SHAPE))
    METHODS[name](problem(name, 1), counting, SampleNoise(0, [0], slices=[0]), **options)
    assert counting.calls == calls


def test_time_travel_of_ddnm_plus_without_data_is_that_of_ddnm() -> None:
    """Where next to nothing was measured the two take the same steps, up and down."""
    mask = torch.zeros(SHAPE).double()
    mask[0, 0, 0] = 1
    known = simulate(Inpainting(mask), torch.zeros(SHAPE).double())
    options = {"steps": 12, "travel_length": 3, "travel_repeat": 2}
    draws = [
        METHODS[name](known, gaussian_field(SHAPE), SampleNoise(0, range(2)), **options)
        for name in ("ddnm", "ddnm_plus")
    ]
    plain = METHODS["ddnm"](known, gaussian_field(SHAPE), SampleNoise(0, range(2)), steps=12)
    apart = [(draws[0] - other).norm() / draws[0].norm() for other in (draws[1], plain)]
    assert apart[0] < 0.4 * apart[1]


@pytest.mark.parametrize("name", NOISE_FREE)
def test_a_full_measurement_is_the_answer(name: str) -> None:
    truth = gaussian_field(SHAPE).draw(SampleNoise(0, [0]))[0]
    known = simulate(Inpainting(torch.ones(SHAPE).double()), truth)
    draws = METHODS[name](
        known, gaussian_field(SHAPE), SampleNoise(0, range(2)), **CASES[name].options
    )
    torch.testing.assert_close(draws, truth.expand(2, *SHAPE))


def test_the_options_are_in_the_signature(name: str) -> None:
    known = inspect.signature(METHODS[name]).parameters
    assert {"label", "guidance", *CASES[name].options} <= set(known)


def test_cards_speak(name: str) -> None:
    found = card(name)
    mixtures = found.get("mixtures", [])
    assert name in verdict(found)
    assert as_page(found).count("\n|") == 2 + len(found["measured"]) + (2 + len(mixtures)) * bool(
        mixtures
    )
    assert summary_page([found]).count("\n|") == 2 + len(PLANS[name])


def test_every_method_takes_a_measurement_without_noise(name: str) -> None:
    """There is no error for that: no method needs noise."""
    known = problem(name, 1)
    clean = Problem(known.operator, known.y, 0.0)
    noise = SampleNoise(0, range(2), slices=[0])
    images = METHODS[name](clean, gaussian_field(SHAPE), noise, **CASES[name].options)
    assert torch.isfinite(images).all()


WITH_SIGMAS = sorted(
    name for name in CASES if "sigmas" in inspect.signature(METHODS[name]).parameters
)
STEPS = {
    "daps": "levels",
    "fitted_gaussian": "levels",
    "local_gaussian": "levels",
    "exact": "",
    "local_laplace": "levels",
}


@pytest.mark.parametrize("name", WITH_SIGMAS)
@pytest.mark.parametrize("sigmas", [[1.0, 2.0, 0.0], [1.0, 1.0, 0.0], [1.0, -1.0], [1.0]])
def test_levels_that_do_not_fall_are_named_before_any_call(name: str, sigmas: list[float]) -> None:
    counting = Counting(gaussian_field(SHAPE))
    with pytest.raises(ValueError, match="strictly decrease"):
        METHODS[name](problem(name, 1), counting, SampleNoise(0, [0], slices=[0]), sigmas=sigmas)
    assert counting.calls == 0


@pytest.mark.parametrize("name", WITH_SIGMAS)
def test_a_schedule_is_one_option(name: str) -> None:
    known, schedule = problem(name, 1), Schedule(4, "geometric")

    def images(**options: object) -> torch.Tensor:
        noise = SampleNoise(0, range(2), slices=[0])
        return METHODS[name](known, gaussian_field(SHAPE), noise, **options)

    torch.testing.assert_close(images(schedule=schedule), images(sigmas=schedule.levels()))
    with pytest.raises(ValueError, match="schedule states sigmas already"):
        images(schedule=schedule, sigmas=[1.0, 0.0])


def test_a_schedule_is_its_parts_and_overrides_a_preset() -> None:
    def images(**options: object) -> torch.Tensor:
        noise = SampleNoise(0, range(2), slices=[0])
        return METHODS["pigdm"](problem("pigdm", 1), gaussian_field(SHAPE), noise, **options)

    parts = images(preset="inversebench", steps=40, grid="karras")
    whole = images(preset="inversebench", schedule=Schedule(40, "karras"))

    assert torch.equal(whole, parts)
    assert not torch.equal(whole, images(preset="inversebench", steps=40))


@pytest.mark.parametrize("name", sorted(set(CASES) - {"exact"}))
@pytest.mark.parametrize("steps", [0, -3])
def test_fewer_than_one_step_is_named_before_any_call(name: str, steps: int) -> None:
    counting, option = Counting(gaussian_field(SHAPE)), STEPS.get(name, "steps")
    with pytest.raises(ValueError, match=rf"(step|levels|points).*{steps}"):
        METHODS[name](
            problem(name, 1), counting, SampleNoise(0, [0], slices=[0]), **{option: steps}
        )
    assert counting.calls == 0


@pytest.mark.parametrize("name", ["ddnm_plus", "ddrm", "ssd_plus"])
def test_a_spectral_form_that_is_not_there_is_named_before_any_call(name: str) -> None:
    walled = Walled(torch.eye(9, 42).double() * torch.arange(1, 10).double()[:, None], SHAPE)
    counting = Counting(gaussian_field(SHAPE))
    known = Problem(walled, torch.ones(9).double(), 0.1)
    with pytest.raises(ValueError, match="singular values, which matrix does not offer"):
        METHODS[name](known, counting, SampleNoise(0, [0]), **CASES[name].options)
    assert counting.calls == 0


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("local_gaussian", {"data_products": 0}, "data_products must be from 1"),
        ("daps", {"step_size": 1.0}, "above 2 where the chain diverges"),
        ("pigdm", {"sampler": "heun", "eta": 0.5}, "deterministic"),
        ("ssd", {"injection": 3}, "has none; leave injection out"),
        ("dps", {"strength": -1.0}, "strength must be from 0"),
        ("ssd", {"t0": 2000}, "t0 from 2 to 1000"),
        ("ssd", {"guidance": 2.0}, "no label is given"),
        ("pigdm", {"weight": "one"}, "sampler='euler'"),
    ],
)
def test_a_wrong_option_is_named_before_any_call(
    name: str, options: dict[str, Any], words: str
) -> None:
    counting = Counting(gaussian_field(SHAPE))
    with pytest.raises(ValueError, match=words):
        METHODS[name](problem(name, 1), counting, SampleNoise(0, [0], slices=[0]), **options)
    assert counting.calls == 0


def test_pigdm_that_diverges_is_refused() -> None:
    """Ten steps of a deterministic sampler on a field whose variance is far from white."""
    prior = gaussian_field((1, 16, 16))
    mask = torch.rand(16, 16, generator=torch.Generator().manual_seed(1)) < 0.3
    truth = prior.draw(SampleNoise(0, [0]))[0]
    known = simulate(
        MaskedFourier(mask, channels=1), truth, noise_std=0.05, noise=SampleNoise(1, [0])
    )

    with pytest.raises(FloatingPointError, match=r"pigdm diverged: .* take more steps"):
        METHODS["pigdm"](known, prior, SampleNoise(2, range(4)), steps=10)
    for name, options in (("pigdm", {"steps": 100}), ("moment_matching", {})):  # as it says
        draws = METHODS[name](known, prior, SampleNoise(2, range(4)), **options)
        assert (known.operator(draws) - known.y).square().mean() < 2 * 0.05**2


def test_pigdm_is_not_blamed_for_a_wrong_noise_level() -> None:
    """An operator that cannot explain the data misfits them with any method."""
    prior = gaussian_field(SHAPE)
    rows = torch.randn(126, 42, generator=torch.Generator().manual_seed(0)).double() / 42**0.5
    wrong = Problem(Matrix(rows, SHAPE), torch.ones(126).double(), 0.01)
    draws = METHODS["pigdm"](wrong, prior, SampleNoise(2, range(2)), steps=100)
    assert torch.isfinite(draws).all()


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("name", "option", "choices"),
    [
        ("conditional", "start", "'noise', 'mean'"),
        ("conditional", "sampler", "'heun', 'dpmpp_2m', 'dpmpp_3m', 'euler'"),
        ("daps", "width", "'posterior', 'sigma'"),
        ("local_laplace", "about", "'mode', 'prior'"),
        ("pigdm", "weight", "'consistent', 'one'"),
        ("ssd_plus", "weight", "'stop', 'noise'"),
    ],
)
def test_a_word_that_is_none_of_the_choices_is_refused(
    name: str, option: str, choices: str
) -> None:
    problem = Problem(Inpainting(torch.ones(1, 4, 4)), torch.zeros(1, 4, 4))
    calls: list[int] = []

    def prior(x: Tensor, sigma: Tensor) -> Tensor:
        calls.append(1)
        return x / (1 + sigma**2)

    with pytest.raises(ValueError, match=f"{name}: {option} must be one of {choices}, got 'foo'"):
        METHODS[name](problem, prior, SampleNoise(0, range(1)), **{option: "foo"})
    assert not calls
