"""The feature degradation layer against its algebra, and the network around it."""

import pytest
import torch
from torch import Tensor

from tests.networks.cases import CASES, SHAPE, awake
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.networks import Backbone, InvFussion
from uqrestore.networks.attention import AttentionSpec
from uqrestore.networks.feature_degradation import FeatureDegradation
from uqrestore.networks.hdit import Level
from uqrestore.networks.measurement import Measurement
from uqrestore.operators import Inpainting, LinearOperator, MaskedFourier, Matrix, Radon, Zero, mix
from uqrestore.problem import Problem, simulate

PIXELS, WIDTH, BATCH = 2, 12, 3


def randn(*shape: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


def inpainting(seed: int = 0) -> Inpainting:
    return Inpainting((randn(BATCH, *SHAPE, seed=seed) > 0).double())


def fourier(seed: int = 0) -> MaskedFourier:
    return MaskedFourier(randn(BATCH, *SHAPE[1:], seed=seed) > 0, channels=1)


OPERATORS = {"inpainting": inpainting, "masked_fourier": fourier}


@pytest.fixture(params=sorted(OPERATORS))
def operator(request: pytest.FixtureRequest) -> LinearOperator:
    return OPERATORS[request.param]()


def layer(seed: int = 0) -> FeatureDegradation:
    level = Level(WIDTH, 1, AttentionSpec(), PIXELS)
    made = FeatureDegradation(level, channels=1).double()
    made.mix.weight.data = randn(*made.mix.weight.shape, seed=seed + 1)
    made.mix.bias.data = randn(*made.mix.bias.shape, seed=seed + 2)
    return made


def measured(operator: LinearOperator, seed: int = 5) -> Measurement:
    problem = simulate(operator, randn(BATCH, *SHAPE, seed=seed))
    return Measurement.of(problem, (BATCH,))


def tokens(seed: int = 7) -> Tensor:
    return randn(BATCH, SHAPE[1] // PIXELS, SHAPE[2] // PIXELS, WIDTH, seed=seed)


def linear(made: FeatureDegradation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the GELU by the identity, so that the layer is linear."""
    monkeypatch.setattr("torch.nn.functional.gelu", lambda x: x)
    made.mix.bias.data.zero_()


def test_the_stack_is_a_permutation_of_the_tokens() -> None:
    made, x = layer(), tokens()
    images = made.to_stack(x)
    assert images.shape == (WIDTH // PIXELS**2, BATCH, *SHAPE)
    assert torch.equal(made.from_stack(images), x)


def test_the_zero_operator_gives_exactly_zero() -> None:
    zero = Zero(SHAPE)
    problem = Problem(zero, torch.zeros(zero.out_shape, dtype=torch.float64))
    out = layer()(tokens(), Measurement.of(problem, (BATCH,)))
    assert torch.equal(out, torch.zeros_like(out))


def test_the_output_lies_in_the_range_of_the_pseudo_inverse(operator: LinearOperator) -> None:
    made = layer()
    images = made.to_stack(made(tokens(), measured(operator)))
    torch.testing.assert_close(operator.pinv(operator.forward(images)), images)


def test_the_layer_can_enforce_the_measurement(
    operator: LinearOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With L = [1 | -I] every image of the stack plus the layer's output explains y."""
    made, x, known = layer(), tokens(), measured(operator)
    linear(made, monkeypatch)
    made.mix.weight.data = torch.cat([torch.ones(3, 1), -torch.eye(3)], 1).double()
    explained = operator.forward(made.to_stack(x + made(x, known)))
    torch.testing.assert_close(explained, known.parts[0].y.expand_as(explained))


def test_the_layer_can_project(operator: LinearOperator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With L = [0 | I] it is A^+ A on every image of the stack."""
    made, x = layer(), tokens()
    linear(made, monkeypatch)
    made.mix.weight.data = torch.cat([torch.zeros(3, 1), torch.eye(3)], 1).double()
    images = made.to_stack(made(x, measured(operator)))
    torch.testing.assert_close(images, operator.pinv(operator.forward(made.to_stack(x))))


def test_without_a_closed_form_the_scaled_transpose_brings_measurements_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With L = [0 | I] the layer is A^T A / s^2: no longer than its input, never iterating."""
    operator = Radon(torch.tensor([0.0, 40.0, 100.0]).double(), SHAPE)
    made, x = layer(), tokens()
    linear(made, monkeypatch)
    made.mix.weight.data = torch.cat([torch.zeros(3, 1), torch.eye(3)], 1).double()
    known = measured(operator)
    monkeypatch.setattr(Radon, "pinv", lambda *_: pytest.fail("iterated"))
    images = made.to_stack(made(x, known))
    sent = operator.adjoint(operator.forward(made.to_stack(x)))
    power = sent.norm() / images.norm()
    torch.testing.assert_close(images * power, sent)
    dense = torch.stack(
        [operator.forward(e).flatten() for e in torch.eye(96).view(96, *SHAPE).double()]
    )
    assert power.item() == pytest.approx(float(torch.linalg.matrix_norm(dense, 2)) ** 2, rel=0.05)


def test_a_mirrored_image_and_operator_give_the_mirrored_output() -> None:
    made, x, mask = layer(), tokens(), inpainting().mask
    truth = randn(BATCH, *SHAPE, seed=5)

    def run(mask: Tensor, truth: Tensor, images: Tensor) -> Tensor:
        known = Measurement.of(simulate(Inpainting(mask), truth), (BATCH,))
        return made.to_stack(made(made.from_stack(images), known))

    images = made.to_stack(x)
    plain = run(mask, truth, images)
    mirrored = run(mask.flip(-1), truth.flip(-1), images.flip(-1))
    torch.testing.assert_close(mirrored.flip(-1), plain)


def test_permuting_the_stack_permutes_the_output() -> None:
    made, x, known, order = layer(), tokens(), measured(inpainting()), torch.tensor([2, 0, 1])
    plain = made.to_stack(made(x, known))
    shuffled = made.from_stack(made.to_stack(x)[order])
    with torch.no_grad():
        weight = made.mix.weight[order][:, torch.cat([torch.tensor([0]), 1 + order])]
        made.mix.weight.copy_(weight)
        made.mix.bias.copy_(made.mix.bias[order])
    torch.testing.assert_close(made.to_stack(made(shuffled, known)), plain[order])


def test_gradients_pass_through_the_operator(operator: LinearOperator) -> None:
    made, known = layer(), measured(operator)
    assert torch.autograd.gradcheck(lambda x: made(x, known), tokens().requires_grad_())


def test_a_width_that_does_not_fit_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="the nearest are 8 and 12"):
        FeatureDegradation(Level(10, 1, AttentionSpec(), 2), channels=1)
    with pytest.raises(ValueError, match="the nearest are 192"):
        FeatureDegradation(Level(96, 1, AttentionSpec(), 8), channels=3)


@pytest.fixture(params=["invfussion", "invfussion_projected", "unet_joint", "unet_projected"])
def network(request: pytest.FixtureRequest) -> Backbone:
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        return awake(CASES[request.param]().double())


def test_no_measurement_equals_the_zero_operator_bit_for_bit(network: Backbone) -> None:
    denoiser = NetworkDenoiser(network)
    x, sigma = randn(2, *SHAPE), torch.tensor(0.7, dtype=torch.float64)
    zero = Zero(SHAPE)
    problem = Problem(zero, torch.zeros(zero.out_shape, dtype=torch.float64))
    assert torch.equal(denoiser(x, sigma), denoiser(x, sigma, problem))


def test_the_network_sees_the_operator_and_the_blind_one_does_not(network: Backbone) -> None:
    """Two operators with the same A^+ y: one network answers differently, the blind not."""
    truth = randn(*SHAPE, seed=3)
    full, half = torch.ones(SHAPE), torch.ones(SHAPE)
    half[:, :6] = 0
    truth[:, :6] = 0
    problems = [simulate(Inpainting(m.double()), truth) for m in (full, half)]
    x, sigma = randn(*SHAPE, seed=4)[None], torch.tensor(0.7, dtype=torch.float64)
    aware = NetworkDenoiser(network)
    blind = NetworkDenoiser(
        awake(
            InvFussion(
                SHAPE,
                patch=2,
                widths=(16, 32),
                depths=(1, 1),
                attention=("global", "global"),
                joint=(False, False),
                head_width=8,
            ).double()
        )
    )
    seen = [aware(x, sigma, p) for p in problems]
    assert (seen[0] - seen[1]).abs().max() > 1e-3
    unseen = [blind(x, sigma, p) for p in problems]
    assert torch.equal(unseen[0], unseen[1])


def test_samples_and_problems_broadcast(network: Backbone) -> None:
    """(sample, problem) in one call equals one call a sample and problem."""
    denoiser, operator = NetworkDenoiser(network), fourier()
    problem = simulate(operator, randn(BATCH, *SHAPE, seed=5))
    x, sigma = randn(2, BATCH, *SHAPE), torch.tensor(0.5, dtype=torch.float64)
    together = denoiser(x, sigma, problem)
    for i in range(2):
        for j in range(BATCH):
            alone = denoiser(x[i, j], sigma, Problem(operator.select(j), problem.y[j]))
            torch.testing.assert_close(alone, together[i, j])


def test_kinds_mixed_in_a_batch_do_not_touch_one_another(network: Backbone) -> None:
    """A mixed batch, two samples of it, equals each problem by itself."""
    denoiser = NetworkDenoiser(network)
    rows = randn(5, 96, seed=8)
    kinds = [inpainting()[0], Matrix(rows, SHAPE), Zero(SHAPE), fourier()[1], Matrix(rows, SHAPE)]
    truth = randn(len(kinds), *SHAPE, seed=9)
    problem = simulate(mix(kinds), truth)
    x, sigma = randn(2, len(kinds), *SHAPE), torch.tensor(0.5, dtype=torch.float64)
    together = denoiser(x, sigma, problem)
    for j, kind in enumerate(kinds):
        alone = denoiser(x[:, j : j + 1], sigma, simulate(mix([kind]), truth[j : j + 1]))
        torch.testing.assert_close(alone, together[:, j : j + 1])
        plain = denoiser(x[:, j], sigma, simulate(kind, truth[j]))
        torch.testing.assert_close(plain, together[:, j])


def test_the_projected_layer_sends_what_it_chooses_and_lifts_what_returns() -> None:
    """With the identity as its choice it is the published layer times sqrt(n / rank)."""
    plain, operator = layer(), fourier()
    level = Level(WIDTH, 1, AttentionSpec(), PIXELS)
    ours = FeatureDegradation(level, channels=1, project=True).double()
    ours.load_state_dict(plain.state_dict() | {"choose.weight": torch.eye(WIDTH).double()})
    known = measured(operator)
    rank = operator.rank()
    assert rank is not None
    gain = (SHAPE[1] * SHAPE[2] / rank).sqrt()
    assert gain.std() > 0
    wanted = plain(tokens(), known) * gain[:, None, None, None]
    torch.testing.assert_close(ours(tokens(), known), wanted)


def test_the_problem_is_laid_out_once_for_all_calls(network: Backbone) -> None:
    denoiser = NetworkDenoiser(network)
    first, second = (simulate(fourier(), randn(BATCH, *SHAPE, seed=s)) for s in (5, 6))
    x, sigma = randn(BATCH, *SHAPE), torch.tensor(0.5, dtype=torch.float64)
    prepared = denoiser.prepare(first, (BATCH,))
    assert denoiser._measurement(prepared, (BATCH,)) is prepared.measurement
    assert torch.equal(denoiser(x, sigma, prepared), denoiser(x, sigma, first))
    apart = (denoiser(x, sigma, first) - denoiser(x, sigma, second)).abs().max()
    assert apart > 1e-3, "another problem is heard at once"


def test_the_noise_of_the_measurement_is_an_input(network: Backbone) -> None:
    denoiser, operator = NetworkDenoiser(network), fourier()
    y = simulate(operator, randn(BATCH, *SHAPE, seed=5)).y
    x, sigma = randn(BATCH, *SHAPE), torch.tensor(0.5, dtype=torch.float64)
    noise_free, noisier = (denoiser(x, sigma, Problem(operator, y, s)) for s in (0.01, 0.2))
    assert (noise_free - noisier).abs().max() > 1e-6
    each = denoiser(x, sigma, Problem(operator, y, torch.tensor([0.01, 0.2, 0.01])))
    torch.testing.assert_close(each[1], noisier[1])
    torch.testing.assert_close(each[2], noise_free[2])


def test_a_batch_that_does_not_end_in_the_problems_is_named() -> None:
    problem = simulate(fourier(), randn(BATCH, *SHAPE, seed=5))
    with pytest.raises(ValueError, match=r"batches of \(2,\) but the problem is a batch of \(3,\)"):
        Measurement.of(problem, (2,))


def test_one_switch_a_level() -> None:
    with pytest.raises(ValueError, match="joint has 1 switches for 2 levels"):
        InvFussion(SHAPE, patch=2, joint=(True,))
