"""Networks of other libraries as denoisers: oracles and stubs whose answer is known."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import uqrestore as uq
from tests.networks.cases import awake
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.external import PREDICTIONS, ExternalDenoiser, Prediction
from uqrestore.diffusion.external_check import check_network
from uqrestore.diffusion.external_wrap import wrap
from uqrestore.diffusion.paths import DiscretePath, FlowPath, NoisePath, make_betas
from uqrestore.diffusion.schedules import ddpm_table
from uqrestore.methods import METHODS
from uqrestore.networks import UNet
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.priors import GaussianPrior
from uqrestore.problem import Problem

SHAPE = (1, 3, 5)
CLEAN = 0.3


@dataclass
class Stub:
    """The ideal network of images that are all one constant."""

    alpha_bar: Tensor
    prediction: str

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        log_snr = (self.alpha_bar / (1 - self.alpha_bar)).log()
        low = time.floor().long().clamp(max=len(log_snr) - 2)
        at = log_snr[low] + (time - low) * (log_snr[low + 1] - log_snr[low])
        alpha_bar = at.sigmoid()[:, None, None, None]
        epsilon = (x - alpha_bar.sqrt() * CLEAN) / (1 - alpha_bar).sqrt()
        if self.prediction == "epsilon":
            return epsilon
        return alpha_bar.sqrt() * epsilon - (1 - alpha_bar).sqrt() * CLEAN


def make(schedule: str = "linear", prediction: Prediction = "epsilon") -> ExternalDenoiser:
    betas = make_betas(schedule)  # type: ignore[arg-type]
    stub = Stub(torch.cumprod(1 - betas, 0), prediction)
    return wrap(stub, "ddpm", SHAPE, schedule=schedule, prediction=prediction, check=False)


def table_of(denoiser: ExternalDenoiser) -> DiscretePath:
    assert isinstance(denoiser.path, DiscretePath)
    return denoiser.path


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "cosine"])
def test_a_network_of_one_image_denoises_to_it(schedule: str, prediction: Prediction) -> None:
    """O-20, at the levels of the table and between them."""
    denoiser = make(schedule, prediction)
    levels = table_of(denoiser).sigmas[50:950:90]
    levels = torch.cat([levels, (levels[1:] * levels[:-1]).sqrt()])
    x = torch.randn(len(levels), *SHAPE, generator=torch.Generator().manual_seed(0)).double()
    clean = denoiser(x * levels[:, None, None, None], levels)
    torch.testing.assert_close(clean, torch.full_like(x, CLEAN), rtol=0, atol=1e-6)


def test_the_time_of_every_level_of_the_table_is_its_index() -> None:
    path = table_of(make())
    torch.testing.assert_close(path.sigmas, ddpm_table())
    index = torch.arange(1000, dtype=torch.float64)
    torch.testing.assert_close(path.time(path.sigmas), index, rtol=0, atol=1e-7)
    torch.testing.assert_close(path.time(path.sigmas.float()), index, rtol=0, atol=1e-3)


@pytest.mark.parametrize("sigma", [0.005, 200.0])
def test_a_path_refuses_levels_outside_its_table(sigma: float) -> None:
    with pytest.raises(ValueError, match=r"from 0\.01 to 157\.4"):
        table_of(make()).time(torch.tensor([sigma]))


def test_levels_outside_the_training_are_denoised_to_the_stated_error() -> None:
    """Below by the score of the lowest level, above from the image scaled to the highest."""
    path = DiscretePath(make_betas("scaled_linear"))
    low, high = path.limits
    wrapped = declared(Oracle(path, "epsilon"), path, prediction="epsilon")
    levels = torch.tensor([0.0, 0.3 * low, 0.9 * low, 1.1 * high, 4 * high]).double()
    noise = SampleNoise(3, range(5)).normal(SIDES, levels)
    x = gaussian_prior().draw(SampleNoise(4, range(5))) + levels[:, None, None, None] * noise
    away = (wrapped(x, levels) - gaussian_prior()(x, levels)).flatten(1).abs().amax(1)
    assert away[0] < 1e-12
    assert (away[1:3] < low).all()
    spread = float(gaussian_prior().std.max())
    assert (away[3:] < spread * 10 / high).all(), "a tenth of the spread"
    assert wrapped(x[:1], levels[1]).equal(wrapped(x[:1], levels[1:2])), "of one or many levels"


def test_a_training_that_ends_too_low_is_refused_above() -> None:
    path = DiscretePath(make_betas("linear", 400))
    wrapped = declared(Oracle(path, "epsilon"), path, prediction="epsilon")
    assert wrapped.limits[1] < 10
    wrapped(torch.zeros(1, *SIDES), torch.tensor(wrapped.limits[1]))
    with pytest.raises(ValueError, match="too low to start from noise"):
        wrapped(torch.zeros(1, *SIDES), torch.tensor(20.0))


def test_methods_with_their_own_levels_take_a_network_of_fewer() -> None:
    """Draws agree with those of the closed form, whose levels have no end."""
    prior, path = gaussian_prior(), DiscretePath(make_betas("scaled_linear"))
    wrapped = declared(Oracle(path, "v"), path, prediction="v")
    A = uq.operators.Inpainting(torch.arange(63).reshape(SIDES).double() % 3 == 0)
    y = uq.simulate(A, prior.draw(SampleNoise(1, [0]))[0], noise_std=0.1, seed=0)
    given: dict[str, Any] = {"method": "diffpir", "steps": 20, "samples": 3}
    draws, exact = (uq.sample(A, y, p, **given) for p in (wrapped, prior))
    assert (draws - exact).square().mean().sqrt() < 0.1 * exact.std(0).mean()


def test_it_serves_a_method() -> None:
    denoiser = make()
    assert isinstance(denoiser, Denoiser)
    mask = torch.zeros(SHAPE).double()
    mask[..., :2] = 1
    known = Problem(Inpainting(mask), CLEAN * mask)
    images = METHODS["ssd"](known, denoiser, SampleNoise(0, range(2)), preset="30")
    torch.testing.assert_close(images, torch.full_like(images, CLEAN), rtol=0, atol=1e-6)


def test_weights_of_monai_serve_as_they_are() -> None:
    """A network of MONAI asked at discrete times, through the backbone that wraps it."""
    sides = (1, 8, 4)
    network = UNet(sides, widths=(8, 16), attention=(False, True), head_width=8, groups=4,
                   time_scale=1.0).double()  # fmt: skip
    awake(network)
    denoiser = wrap(network, "ddpm", sides, schedule="linear", check=False)
    x = torch.randn(3, *sides, generator=torch.Generator().manual_seed(0)).double()
    sigma = table_of(denoiser).sigmas[500]
    scaled = x / (1 + sigma**2).sqrt()
    epsilon = network.unet(scaled, torch.full((3,), 500.0).double())
    torch.testing.assert_close(denoiser(x, sigma), x - sigma * epsilon)


def test_a_measurement_is_refused() -> None:
    known = Problem(Inpainting(torch.ones(SHAPE)), torch.ones(SHAPE))
    with pytest.raises(ValueError, match="takes no measurement"):
        make()(torch.zeros(1, *SHAPE), torch.tensor(1.0), known)


def test_a_schedule_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        wrap(lambda x, _: x, "ddpm", SHAPE, schedule=[0.1, 1.5])


def test_the_answer_of_diffusers_is_unwrapped() -> None:
    @dataclass
    class Output:
        sample: Tensor

    denoiser = wrap(lambda x, _: Output(x * 0), "ddpm", SHAPE, schedule="linear", check=False)
    x = torch.ones(2, *SHAPE)
    assert torch.equal(denoiser(x, torch.tensor(1.0)), x)


SIDES = (1, 9, 7)
PATHS = {
    "edm": NoisePath(),
    "ddpm": DiscretePath(make_betas("linear")),
    "flow": FlowPath(),
    "reversed flow": FlowPath(0, 1000.0),
}
PATH_CASES = [
    pytest.param(path, prediction, id=f"{name} {prediction}")
    for name, path in PATHS.items()
    for prediction in PREDICTIONS[type(path)]
]


def gaussian_prior(std: float = 0.3) -> GaussianPrior:
    """Return smooth Gaussian images about a slope, within about [-1, 1]."""
    at = torch.cartesian_prod(torch.arange(9.0), torch.arange(7.0)).double()
    covariance = std**2 * torch.exp(-torch.cdist(at, at).square() / 8) + 1e-4 * torch.eye(63)
    return GaussianPrior.from_covariance(0.1 * (at[:, 0] - 4).reshape(SIDES), covariance)


class Oracle(nn.Module):
    """The ideal network of a Gaussian prior, on a path and with a prediction of its own.

    Its images are ``(values - centre) / half`` of those that it takes and gives.
    """

    def __init__(
        self, path: NoisePath, prediction: str, centre: float = 0.0, half: float = 1.0
    ) -> None:
        super().__init__()
        self.path, self.prediction, self.prior = path, prediction, gaussian_prior()
        self.centre, self.scale = centre, half

    def level(self, time: Tensor) -> Tensor:
        """Return the noise level of a time, by a formula other than the path's."""
        if isinstance(self.path, FlowPath):
            noise = time / self.path.time_scale
            noise = 1 - noise if self.path.data_at else noise
            return noise / (1 - noise)
        if isinstance(self.path, DiscretePath):
            table = self.path.sigmas.log().numpy()
            return torch.from_numpy(np.exp(np.interp(time.numpy(), range(len(table)), table)))
        return time

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        sigma = self.level(time.double())[:, None, None, None]
        a = {NoisePath: 1 + 0 * sigma, FlowPath: 1 / (1 + sigma)}.get(
            type(self.path), (1 + sigma**2) ** -0.5
        )
        u = x.double() / a
        level = (sigma / self.scale).flatten()
        clean = self.centre + self.scale * self.prior((u - self.centre) / self.scale, level)
        epsilon = (u - clean) / sigma
        towards = -1 if isinstance(self.path, FlowPath) and self.path.data_at else 1
        return {
            "x0": clean,
            "epsilon": epsilon,
            "v": a * epsilon - a * sigma * clean,
            "velocity": towards * (epsilon - clean),
        }[self.prediction].to(x)


# What only examples reveal: the denoiser of paler images.
UNSEEN = {("epsilon", "velocity"), ("x0", "v")}


def declared(network: nn.Module, path: NoisePath, **options: Any) -> ExternalDenoiser:  # noqa: ANN401
    sign = -1 if isinstance(path, FlowPath) and path.data_at else 1
    return ExternalDenoiser(network, SIDES, path, sign=sign, **options)


def examples() -> Tensor:
    return gaussian_prior().draw(SampleNoise(5, range(64)))


@pytest.mark.parametrize(("path", "prediction"), PATH_CASES)
def test_the_network_of_a_gaussian_is_its_closed_form(path: NoisePath, prediction: str) -> None:
    """Whatever path, prediction and range the network has."""
    levels = torch.tensor([0.03, 0.3, 2.0, 70.0]).double()
    x = torch.randn(4, *SIDES, generator=torch.Generator().manual_seed(0)).double()
    x = x * levels[:, None, None, None]
    expected = gaussian_prior()(x, levels)
    for low, high in ((-1.0, 1.0), (0.0, 1.0), (-200.0, 100.0)):
        if isinstance(path, DiscretePath) and high == 100:
            continue  # its levels end at 157 in the units of the network
        network = Oracle(path, prediction, (low + high) / 2, (high - low) / 2)
        wrapped = declared(network, path, prediction=prediction, image_range=(low, high))
        torch.testing.assert_close(wrapped(x, levels), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("path", "prediction"), PATH_CASES)
def test_the_check_accepts_the_declared_prediction_alone(path: NoisePath, prediction: str) -> None:
    network = Oracle(path, prediction)
    for other in PREDICTIONS[type(path)]:
        wrapped = declared(network, path, prediction=other)
        if other == prediction:
            found = check_network(wrapped, examples())
            assert abs(found.slope) < 0.05
            assert found.excess < 1
            assert found.excess_on_examples is not None
            assert found.excess_on_examples < 1
            assert found.gain_on_examples == pytest.approx(1, abs=0.1)
            continue
        with pytest.raises(ValueError, match=f"not what was declared.*'{prediction}' fits"):
            check_network(wrapped, examples())
        if (prediction, other) not in UNSEEN:
            with pytest.raises(ValueError, match="not what was declared"):
                check_network(wrapped)


@pytest.mark.parametrize("path", [FlowPath(), FlowPath(0)], ids=["data at 1", "data at 0"])
def test_a_flow_of_the_other_direction_is_refused(path: FlowPath) -> None:
    network = Oracle(path, "velocity")
    for data_at in (0, 1):
        if data_at == path.data_at:
            wrap(network, "flow", SIDES, data_at=data_at, examples=examples())
            continue
        with pytest.raises(ValueError, match="not what was declared"):
            wrap(network, "flow", SIDES, data_at=data_at)


@pytest.mark.parametrize(
    ("stated", "right", "text"),
    [
        ((-1.0, 1.0), (0.0, 255.0), "image_range"),
        ((0.0, 255.0), (-1.0, 1.0), "image_range"),
        ((-1.0, 1.0), (0.0, 1.0), r"as of image_range=\(0, 1\)"),
    ],
)
def test_a_false_range_is_refused(
    stated: tuple[float, float], right: tuple[float, float], text: str
) -> None:
    centre, half = sum(right) / 2, (right[1] - right[0]) / 2
    network = Oracle(NoisePath(), "x0", centre, half)
    wrap(network, "edm", SIDES, image_range=right, examples=centre + half * examples())
    with pytest.raises(ValueError, match=text):
        wrap(network, "edm", SIDES, image_range=stated)


def test_a_false_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="the schedule that it was trained with"):
        wrap(
            Oracle(PATHS["ddpm"], "epsilon"), "ddpm", SIDES, schedule="cosine", examples=examples()
        )


def test_a_raw_edm_network_is_preconditioned() -> None:
    def raw(x: Tensor, c_noise: Tensor) -> Tensor:
        sigma = (4 * c_noise).exp()[:, None, None, None]
        total = sigma**2 + 0.25
        u = x * total.sqrt()
        clean = gaussian_prior()(u, sigma.flatten())
        return (clean - 0.25 / total * u) / (sigma * 0.5 * total.rsqrt())

    x = torch.randn(2, *SIDES, generator=torch.Generator().manual_seed(0)).double()
    wrapped = wrap(raw, "edm", SIDES, sigma_data=0.5)
    expected = gaussian_prior()(x, torch.tensor(0.7))
    torch.testing.assert_close(wrapped(x, torch.tensor(0.7)), expected)


def test_draws_of_a_wrapped_flow_are_those_of_the_closed_form() -> None:
    prior = gaussian_prior()
    wrapped = wrap(Oracle(FlowPath(), "velocity"), "flow", SIDES, examples=examples())
    A = uq.operators.Inpainting(torch.arange(63).reshape(SIDES).double() % 3 == 0)
    y = uq.simulate(A, prior.draw(SampleNoise(1, [0]))[0], noise_std=0.1, seed=0)
    given: dict[str, Any] = {"method": "moment_matching", "samples": 24, "steps": 12, "products": 5}

    draws = uq.sample(A, y, wrapped, **given)

    torch.testing.assert_close(draws, uq.sample(A, y, prior, **given), rtol=0, atol=1e-5)
    posterior = prior.condition(y)
    spread = posterior.std
    away = (draws.mean(0) - posterior.mean) / (spread / 24**0.5)
    assert away.square().mean() < 2, "the mean of the draws is within its standard error"
    assert (draws.std(0) / spread).mean() == pytest.approx(1, abs=0.1)


def test_unet_and_schedulers_of_diffusers() -> None:
    diffusers = pytest.importorskip("diffusers")
    betas = make_betas("scaled_linear", start=0.00085, end=0.012)
    scheduler = diffusers.DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
    )
    network = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
    )
    wrapped = wrap(network, "ddpm", (1, 8, 8), schedule=scheduler, check=False)
    assert wrapped.prediction == "v"
    torch.testing.assert_close(
        table_of(wrapped).sigmas, DiscretePath(betas).sigmas, rtol=1e-3, atol=0
    )
    clean = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    at = torch.tensor([300])
    noisy = scheduler.add_noise(clean, noise, at)
    expected = scheduler.step(network(noisy, at).sample, 300, noisy).pred_original_sample
    sigma = table_of(wrapped).sigmas[300]
    scheduler.config.clip_sample = False
    found = wrapped(clean + sigma.float() * noise, sigma)
    torch.testing.assert_close(found.clamp(-1, 1), expected, rtol=1e-3, atol=1e-3)

    flow = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=500)
    wrapped = wrap(network, "flow", (1, 8, 8), schedule=flow, check=False)
    assert (wrapped.prediction, wrapped.path.stated) == ("velocity", "flow 0 500.0")
    with pytest.raises(ValueError, match="the scheduler states 'v'"):
        wrap(network, "ddpm", (1, 8, 8), schedule=scheduler, prediction="epsilon")


def test_unet_and_schedulers_of_monai() -> None:
    networks = pytest.importorskip("monai.networks.nets")
    from monai.networks.schedulers.ddpm import DDPMScheduler
    from monai.networks.schedulers.rectified_flow import RFlowScheduler

    network = networks.DiffusionModelUNet(
        spatial_dims=2, in_channels=1, out_channels=1, channels=(8, 8), norm_num_groups=4,
        attention_levels=(False, False), num_res_blocks=1, num_head_channels=8,
        num_class_embeds=3,
    ).requires_grad_(False)  # fmt: skip
    clean = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    label, at = torch.tensor([2]), torch.tensor([300])

    scheduler = DDPMScheduler(prediction_type="sample", clip_sample=False)
    wrapped = wrap(network, "monai", (1, 8, 8), schedule=scheduler, check=False)
    noisy = scheduler.add_noise(clean, noise, at)
    sigma = table_of(wrapped).sigmas[300]
    found = wrapped(clean + sigma.float() * noise, sigma, None, label)
    torch.testing.assert_close(found, network(noisy, at, class_labels=label), rtol=1e-3, atol=1e-3)

    with pytest.raises(ValueError, match="not what was declared"):
        wrap(network, "monai", (1, 8, 8), schedule=scheduler, label=1)  # untrained
    flow = RFlowScheduler()
    flow.set_timesteps(10)
    wrapped = wrap(network, "monai", (1, 8, 8), schedule=flow, check=False)
    noisy = flow.add_noise(clean, noise, at)
    _, expected = flow.step(network(noisy, at, class_labels=label), 300, noisy)
    found = wrapped(clean + 0.3 / 0.7 * noise, torch.tensor(0.3 / 0.7), None, label)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("as_users_run_it")
def test_contradictions_are_named() -> None:
    def network(x: Tensor, _: Tensor) -> Tensor:
        return x

    for options, text in (
        ({"kind": "vp"}, "kind is one of edm, ddpm, flow, monai"),
        ({"kind": "ddpm"}, "wants schedule: a scheduler with betas"),
        ({"kind": "monai"}, "wants schedule: a scheduler with betas"),
        ({"kind": "flow", "schedule": 3}, "wants schedule, a scheduler with num_train_timesteps"),
        ({"kind": "edm", "schedule": "linear"}, "kind='edm' has no schedule"),
        ({"kind": "ddpm", "schedule": "linear", "data_at": 0}, "has no data_at"),
        ({"kind": "edm", "prediction": "v"}, "predicts x0, epsilon, not 'v'"),
        ({"kind": "edm", "image_range": (1.0, 0.0)}, "low < high"),
    ):
        with pytest.raises(ValueError, match=text):
            wrap(network, in_shape=SIDES, **options)  # type: ignore[arg-type]


def test_an_output_of_another_shape_is_refused() -> None:
    twice = SimpleNamespace(sample=torch.zeros(1, 2, 9, 7))
    wrapped = wrap(lambda *_: twice, "edm", SIDES, check=False)
    with pytest.raises(ValueError, match="learned variances"):
        wrapped(torch.zeros(1, *SIDES), torch.tensor(1.0))


def test_half_precision_is_that_of_the_network_alone() -> None:
    layer = nn.Conv2d(1, 1, 1).to(torch.bfloat16)
    wrapped = wrap(lambda x, _: layer(x), "edm", SIDES, check=False)
    wrapped.network = nn.ModuleList([layer])
    wrapped.network.forward = lambda x, _: layer(x)
    mask = torch.ones(SIDES)
    draws = uq.sample(uq.operators.Inpainting(mask), mask, wrapped, "ddnm", samples=2, steps=3)
    assert draws.dtype == torch.float32


def test_declarations_are_part_of_the_identity() -> None:
    from uqrestore.restoration.arrays import identity_of

    layer = nn.Conv2d(1, 1, 1)
    made = [
        wrap(layer, "ddpm", SIDES, schedule="linear", check=False),
        wrap(layer, "ddpm", SIDES, schedule="cosine", check=False),
        wrap(layer, "ddpm", SIDES, schedule="linear", prediction="v", check=False),
        wrap(layer, "edm", SIDES, check=False),
        wrap(layer, "flow", SIDES, check=False),
        wrap(layer, "flow", SIDES, check=False, image_range=(0.0, 1.0)),
    ]
    assert len({identity_of(prior)["sha256"] for prior in made}) == len(made)
    assert identity_of(made[0])["name"] == "Conv2d"


def test_a_network_of_nan_is_refused_as_that() -> None:
    with pytest.raises(ValueError, match="the network returns NaN or infinity"):
        wrap(lambda x, _: x * float("nan"), "ddpm", (1, 8, 8), schedule="linear")
