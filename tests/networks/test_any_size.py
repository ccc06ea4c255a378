"""Networks and linear estimates of any size: one set of weights, one function everywhere."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.networks.cases import awake
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.networks import InvFussion
from uqrestore.networks.linear.stationary import StationaryEstimator, adapted
from uqrestore.networks.measurement import spectral_bound
from uqrestore.operators import CoilFourier, Inpainting, LinearOperator, Zero
from uqrestore.operators.random.coils import CoilKSpace
from uqrestore.problem import Problem, simulate

OPTIONS = {
    "patch": 1,
    "widths": (8, 8),
    "depths": (1, 1),
    "attention": ("neighborhood:3", "neighborhood:3"),
    "fdl_input": "consistent",
    "any_size": True,
    "head_width": 8,
    "cond_width": 8,
}


def network(**changes: object) -> NetworkDenoiser:
    made = InvFussion((2, 16, 16), **{**OPTIONS, **changes})  # type: ignore[arg-type]
    return NetworkDenoiser(awake(made.double()))


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(shape: tuple[int, int], count: int = 2) -> LinearOperator:
    family = CoilKSpace((2, *shape), coils=(3,), accelerations=(2, 2))
    return family.draw(torch.Generator().manual_seed(0), count).to(torch.float64)


def test_the_middle_of_a_slice_does_not_depend_on_its_size() -> None:
    """The operator is local here, so that nothing but the network could see the border."""
    denoiser, reach = network(), 16
    x, sigma = randn(2, 2, 48, 40), torch.tensor(0.3)
    mask = (randn(2, 1, 48, 40, seed=1) > 0).double().expand_as(x)

    def run(rows: slice, columns: slice) -> Tensor:
        cut = (..., rows, columns)
        part = denoiser.resized(*x[cut].shape[-2:])
        return part(x[cut], sigma, Problem(Inpainting(mask[cut]), (mask * x)[cut], 0.1))

    whole = run(slice(0, 48), slice(0, 40))
    top, left = 4, 2  # whole tokens of the coarse level
    part = run(slice(top, 46), slice(left, 39))
    inner = (..., slice(reach, -reach), slice(reach - left, -reach))
    again = part[..., reach - top : 48 - reach - top, reach - 2 * left : 40 - reach - left]
    torch.testing.assert_close(again, whole[inner], rtol=0, atol=1e-11)
    assert (part - whole[..., top:46, left:39]).abs().max() > 1e-3, "the border is seen"


@pytest.mark.parametrize("shape", [(16, 16), (17, 23), (5, 30)])
def test_slices_are_of_any_size_and_independent_in_a_batch(shape: tuple[int, int]) -> None:
    denoiser = network(guess=3, pass_guess=True, final_steps=2).resized(*shape)
    assert denoiser.in_shape == (2, *shape)
    problem = simulate(drawn(shape), randn(2, 2, *shape), noise_std=0.05, seed=0)
    x, sigma = randn(2, 2, *shape, seed=2), torch.tensor([0.3, 2.0])
    both = denoiser(x, sigma, problem)
    assert both.shape == x.shape
    one = denoiser(x[1:], sigma[1:], problem.select(slice(1, 2)))
    torch.testing.assert_close(one, both[1:])


def test_gradient_reaches_every_parameter_of_a_conditional_network() -> None:
    denoiser = network(guess=3, pass_guess=True, final_steps=2)
    problem = simulate(drawn((16, 16)), randn(2, 2, 16, 16), noise_std=0.05, seed=0)
    out = denoiser(randn(2, 2, 16, 16, seed=2), torch.tensor(0.3), problem)
    out.square().sum().backward()
    named = denoiser.named_parameters()
    assert [n for n, p in named if p.grad is None or not p.grad.any()] == []


def test_positions_do_not_move_the_weights_of_the_training_size() -> None:
    """A network of any size is the fixed one at the size that it was trained on."""
    options = {"fdl_input": "raw", "joint": (False, False), "patch": 2}
    free, fixed = (network(any_size=free, **options) for free in (True, False))
    fixed.load_state_dict(free.state_dict())
    x = randn(2, 2, 16, 16)
    torch.testing.assert_close(free(x, torch.tensor(0.3)), fixed(x, torch.tensor(0.3)))


def test_resizing_keeps_the_weights_and_leaves_the_network_alone() -> None:
    denoiser = network()
    other = denoiser.resized(20, 18)
    assert other.in_shape == (2, 20, 18)
    assert denoiser.in_shape == (2, 16, 16)
    for ours, theirs in zip(other.parameters(), denoiser.parameters(), strict=True):
        assert ours is theirs
    fixed = network(any_size=False, patch=2)
    with pytest.raises(ValueError, match=r"of \(16, 16\) pixels alone, not of \(20, 18\)"):
        fixed.resized(20, 18)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": ("neighborhood:3", "global")}, "wants local attention at every level"),
        ({"guess": 3, "guess_rank": 4}, "describe images of one size"),
    ],
)
def test_options_that_fix_the_size_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(**changes)


@pytest.mark.parametrize("shape", [(9, 12), (8, 7)])
def test_one_spectrum_gives_the_linear_estimate_of_every_size(shape: tuple[int, int]) -> None:
    """Fitted to a Gaussian field of 32 x 32 pixels; compared with dense matrices."""
    estimate = StationaryEstimator(400).double().eval()
    frequency = torch.hypot(torch.fft.fftfreq(32)[:, None], torch.fft.rfftfreq(32))
    root = (0.05 + (12 * frequency).square()).pow(-0.5)
    white = torch.fft.rfft2(randn(200, 2, 32, 32), norm="ortho")
    estimate.fit(torch.fft.irfft2(white * root, s=(32, 32), norm="ortho"))
    torch.testing.assert_close(
        estimate.spectrum(32, 32)[4:16, 4:14], root[4:16, 4:14].double().square(), rtol=0.2, atol=0
    )
    operator, std = drawn(shape, 1)[0], 0.2
    problem = simulate(operator, randn(2, *shape), noise_std=std, seed=0)
    n = torch.Size((2, *shape)).numel()
    pixels = torch.eye(n, dtype=torch.float64).reshape(n, 2, *shape)
    power = estimate.spectrum(*shape)
    spread = torch.fft.rfft2(pixels, norm="ortho") * power
    covariance = torch.fft.irfft2(spread, s=shape, norm="ortho").reshape(n, n)
    seen = operator(pixels).reshape(n, -1).T
    data = seen @ covariance @ seen.T + (std**2 + 1e-6) * torch.eye(len(seen))
    wanted = covariance @ seen.T @ torch.linalg.solve(data, problem.y.flatten())
    torch.testing.assert_close(estimate.linear(problem).flatten(), wanted, rtol=1e-4, atol=1e-5)
    assert isinstance(operator, CoilFourier)


def test_the_adapted_estimate_is_that_of_its_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    """With steps enough; compared with dense matrices."""
    monkeypatch.setattr("uqrestore.networks.linear.stationary.STEPS", 400)
    shape, std = (6, 7), 0.1
    operator = drawn(shape, 1)[0].to(torch.float64)
    problem = simulate(operator, randn(2, *shape).double(), noise_std=std, seed=0)
    first = randn(2, *shape, seed=3).double()
    padded = F.pad(first.square().mean(0)[None, None], (1, 1, 1, 1), mode="replicate")
    near = padded.unfold(2, 3, 1).unfold(3, 3, 1).mean((-2, -1))[0]
    pixel = near.sqrt() + 0.05 * first.square().sum(0).mean().sqrt()
    radius = torch.hypot(torch.fft.fftfreq(6)[:, None], torch.fft.rfftfreq(7)).double()
    amplitude = (radius / 0.06 + 1) ** -0.6
    amplitude = amplitude / amplitude.square().mean().sqrt()
    pixels = torch.eye(84, dtype=torch.float64).reshape(84, 2, *shape)
    smooth = torch.fft.irfft2(torch.fft.rfft2(pixels) * amplitude, s=shape)
    root = (pixel * smooth).flatten(1).T
    seen = operator(pixels).reshape(84, -1).T @ root
    bound = spectral_bound(operator)
    noise = (8 * std**2 / bound + 1e-6) * bound
    white = torch.linalg.solve(seen.T @ seen + noise * torch.eye(84), seen.T @ problem.y.flatten())
    torch.testing.assert_close(adapted(problem, first).flatten(), root @ white)


def test_the_adapted_estimate_is_nearer_where_air_surrounds_the_body() -> None:
    body = torch.zeros(2, 32, 32, dtype=torch.float64)
    body[:, 8:24, 10:22] = 1 + 0.3 * randn(2, 16, 12)
    estimate = StationaryEstimator(6).double().eval()
    estimate.fit(body.repeat(4, 1, 1, 1))
    family = CoilKSpace((2, 32, 32), coils=(6,), accelerations=(4, 4))
    operator = family.draw(torch.Generator().manual_seed(0), 1).to(torch.float64)
    problem = simulate(operator, body[None], noise_std=0.01, seed=0)
    error = [(e - body).square().mean() for e in (estimate(problem), estimate.linear(problem))]
    assert error[0] < 0.7 * error[1]
    zero = Zero((2, 32, 32))
    blank = Problem(zero, torch.zeros(1, *zero.out_shape, dtype=torch.float64))
    assert (estimate(blank) == 0).all()
