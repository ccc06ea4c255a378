"""The estimate of several classes: its model, its shares, and its gain."""

import pytest
import torch
from torch import Tensor

from tests.networks.test_low_rank_estimate import RANK, dense, eye
from tests.networks.test_spectral_estimate import BATCH, SHAPE, inpainting, lines, matrix, randn
from uqrestore.networks import InvFussion
from uqrestore.networks.linear.classes import MIN_VARIANCE, POOLED, ClasswiseEstimator
from uqrestore.networks.linear.gaussian import FLOOR, strength
from uqrestore.operators import Inpainting, Zero, mix
from uqrestore.problem import Problem

EACH = 600


def images(each: int = EACH, seed: int = 1) -> Tensor:
    """Two classes, far apart, that vary along patterns of their own."""
    rows, columns = torch.linspace(-1, 1, SHAPE[1])[:, None], torch.linspace(-1, 1, SHAPE[2])
    means = torch.stack([3 * rows + 0 * columns, 0 * rows + 3 * columns]).double()
    found = []
    for k in range(2):
        patterns = randn(2, *SHAPE, seed=20 + k).flatten(1)
        along = randn(each, 2, seed=seed + 10 * k) @ patterns
        found.append(means[k][None, None] + along.unflatten(1, SHAPE))
    return torch.cat(found) + 0.05 * randn(2 * each, *SHAPE, seed=seed + 3)


def fitted(iterations: int = 200) -> ClasswiseEstimator:
    made = ClasswiseEstimator(SHAPE, iterations, 8, 2).double()
    made.fit(images())
    return made


def of_truth(made: ClasswiseEstimator) -> list[int]:
    """Class of the estimate for each true class."""
    return [
        int(torch.cdist(part.mean(0).flatten()[None], made.class_means.flatten(1)).argmin())
        for part in images().split(EACH)
    ]


def covariance_of(made: ClasswiseEstimator, shares: Tensor) -> Tensor:
    model = made.model_of(shares)
    return model.synthesise(model.analyse(eye())).flatten(1)


def test_it_finds_the_classes_and_their_moments() -> None:
    made, parts = fitted(), images().split(EACH)
    own = [torch.cov(part.flatten(1).mT, correction=0) for part in parts]
    for k, place in enumerate(of_truth(made)):
        shares = torch.eye(2, dtype=torch.float64)[place]
        torch.testing.assert_close(made.model_of(shares).mean, parts[k].mean(0))
        wanted = (EACH * own[k] + POOLED * (own[0] + own[1]) / 2) / (EACH + POOLED)
        wanted = wanted + MIN_VARIANCE * made.first.basis.mT @ made.first.basis
        torch.testing.assert_close(covariance_of(made, shares), wanted, rtol=0.0, atol=0.01)


def test_all_classes_in_their_shares_are_the_model_of_all() -> None:
    made, seen = fitted(), images()
    shares = torch.tensor([0.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(made.model_of(shares).mean, seen.mean(0))
    wanted = torch.cov(seen.flatten(1).mT, correction=0)
    wanted = wanted + MIN_VARIANCE * made.first.basis.mT @ made.first.basis
    torch.testing.assert_close(covariance_of(made, shares), wanted, rtol=0.0, atol=0.01)


@pytest.mark.parametrize("std", [0.0, 0.1])
def test_where_the_class_shows_it_is_the_linear_estimate_of_that_class(std: float) -> None:
    made, order, operator = fitted(), of_truth(fitted()), inpainting()
    truth = torch.stack([part[0] for part in images(seed=40).split(EACH)] * 2)[:BATCH]
    problem = Problem(operator, operator.forward(truth), std)
    shares = torch.eye(2, dtype=torch.float64)[(order * 2)[:BATCH]]
    torch.testing.assert_close(made.shares(problem), shares)
    a, y = dense(operator), problem.y.flatten(1)
    floor = FLOOR * strength(operator, truth) if std else FLOOR * torch.ones(BATCH)
    for i in range(BATCH):
        covariance, mean = covariance_of(made, shares[i]), made.model_of(shares[i]).mean.flatten()
        kept = a[i].abs().sum(1) > 0
        row = a[i][kept]
        system = row @ covariance @ row.mT + (std**2 + floor[i]) * torch.eye(len(row))
        wanted = mean + covariance @ row.mT @ torch.linalg.solve(system, y[i][kept] - row @ mean)
        torch.testing.assert_close(made(problem)[i].flatten(), wanted, rtol=1e-4, atol=1e-4)


def test_it_beats_a_single_gaussian_where_little_is_measured() -> None:
    made, operator = fitted(), matrix()
    truth = images(seed=50)[EACH - 100 :][: 99 * 2].unflatten(0, (-1, BATCH))
    left: dict[str, list[float]] = {"classes": [], "one model": []}
    for some in truth:
        problem = Problem(operator, operator.forward(some))
        left["classes"].append(float((made(problem) - some).square().mean()))
        left["one model"].append(float((made.first(problem) - some).square().mean()))
    assert sum(left["classes"]) < 0.9 * sum(left["one model"])


def test_classes_share_what_the_measurement_does_not_distinguish() -> None:
    made = fitted()
    mask = torch.zeros(SHAPE)
    mask[:, 3, 5] = 1  # the middle, where the classes look the same
    truth = images(seed=60)[0]
    operator = Inpainting(mask.double())
    shares = made.shares(Problem(operator, operator.forward(truth)))
    assert 0 < float(shares.min()) <= float(shares.max()) < 1
    assert float(shares.sum()) == pytest.approx(1)


def test_noise_hides_the_class() -> None:
    made, everything = fitted(), Inpainting(torch.ones(SHAPE, dtype=torch.float64))
    between = 0.7 * made.class_means[0] + 0.3 * made.class_means[1]
    y = everything.forward(between)
    assert made.shares(Problem(everything, y)).tolist() == [1.0, 0.0]
    assert 0 < float(made.shares(Problem(everything, y, 5.0))[1]) < 0.5


@pytest.mark.parametrize("std", [0.0, 0.2])
def test_nothing_measured_gives_the_mean_exactly(std: float) -> None:
    made, zero = fitted(), Zero(SHAPE)
    problem = Problem(zero, torch.zeros(zero.out_shape, dtype=torch.float64), std)
    assert torch.equal(made(problem), made.mean)


@pytest.mark.parametrize("std", [0.0, 0.1])
def test_a_mixed_batch_is_its_problems_one_by_one(std: float) -> None:
    made = fitted(5)
    parts = [inpainting()[0], matrix()[1], lines()[2], Zero(SHAPE)]
    truth = images(seed=70)[:4]
    operator = mix(parts)
    together = made(Problem(operator, operator.forward(truth), std))
    for i, part in enumerate(parts):
        torch.testing.assert_close(together[i], made(Problem(part, part.forward(truth[i]), std)))


def test_noise_of_some_leaves_the_others_as_they_were() -> None:
    made, operator = fitted(5), matrix()
    y = operator.forward(images(seed=80)[:BATCH])
    std = torch.tensor([0.0, 0.3, 0.0], dtype=torch.float64)
    together = made(Problem(operator, y, std))
    for i in range(BATCH):
        torch.testing.assert_close(together[i], made(Problem(operator[i], y[i], std[i])))


def test_its_steps_stay_out_of_autocast() -> None:
    made, operator = fitted(8).float(), matrix().to(torch.float32)
    problem = Problem(operator, operator.forward(images()[:BATCH].float()))
    plain = made(problem)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(made(problem), plain)


def test_half_precision_does_it_no_harm() -> None:
    made, operator = fitted(20).float(), matrix().to(torch.float32)
    problem = Problem(operator, operator.forward(images()[:BATCH].float()))
    plain = made(problem)
    torch.testing.assert_close(made.half().float()(problem), plain, rtol=0.0, atol=0.05)


def test_few_different_images_leave_it_regular() -> None:
    """Three images, many times: classes that nobody is in, and directions without any length."""
    made = ClasswiseEstimator(SHAPE, 20, 8, 5)
    made.fit(images()[[0, 1, EACH]].float().repeat(40, 1, 1, 1))
    problem = Problem(matrix().to(torch.float32), matrix().forward(images()[:BATCH]).float())
    for estimate in (made, made.half().float()):
        assert torch.isfinite(estimate(problem)).all()


def network(estimate: int = 0, guess_rank: int = 0, guess_classes: int = 0) -> InvFussion:
    return InvFussion(
        SHAPE, patch=2, widths=(16,), depths=(1,), attention=("global",), joint=(True,),
        fdl_input="projected", head_width=8, cond_width=16,
        guess=estimate, guess_rank=guess_rank, guess_classes=guess_classes,
    )  # fmt: skip


def test_a_network_may_be_given_it() -> None:
    made = network(estimate=4, guess_rank=RANK, guess_classes=3)
    assert isinstance(made.linear_guess, ClasswiseEstimator)
    assert made.state_dict()["linear_guess.class_means"].shape == (3, *SHAPE)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="guess_classes is 1; give at least 2"):
        ClasswiseEstimator(SHAPE, 3, RANK, 1)
    with pytest.raises(ValueError, match="guess_classes is 3 but guess_rank is 0"):
        network(estimate=4, guess_classes=3)
    with pytest.raises(ValueError, match="guess is 0 but guess_rank is 0 and guess_classes 3"):
        network(guess_classes=3)
    with pytest.raises(ValueError, match="30 images cannot make 31 classes"):
        ClasswiseEstimator(SHAPE, 3, 2, 31).double().fit(images(15))
