"""Everything that changes while a network trains, and how it is saved and resumed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uqrestore.diffusion.denoiser import NetworkDenoiser, Preconditioning
from uqrestore.diffusion.losses import LearnedUncertainty, denoising_loss
from uqrestore.networks import BACKBONES
from uqrestore.networks.linear.build import IN_STATE
from uqrestore.networks.weights import load_tensors, save_tensors
from uqrestore.training.batch import DrawOperator, draw_batch
from uqrestore.training.components import ComponentsLoss, FrozenBase
from uqrestore.training.config import TrainConfig
from uqrestore.training.data import Drawn, Images, Source, step_generator
from uqrestore.training.parallel import World
from uqrestore.training.power_ema import PowerEma
from uqrestore.training.validation import Probes
from uqrestore.training.warm_start import start_from

FIT_PIXELS = 200_000_000
"""Most pixels that a guess is fitted to: 0.8 GB, of which a fit makes some copies."""
VALIDATION_SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def build_denoiser(config: TrainConfig) -> NetworkDenoiser:
    """Build the network of a configuration with its seeded initial weights."""
    if config.network.name not in BACKBONES:
        raise ValueError(
            f"network.name {config.network.name!r} is unknown; it can be "
            f"{', '.join(sorted(BACKBONES))}."
        )
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(torch.Generator().manual_seed(config.seed).get_state())
        network = BACKBONES[config.network.name](config.data.shape, **config.network.options)
    return NetworkDenoiser(network, Preconditioning(config.loss.sigma_data))


class Trainer:
    """Everything that changes while training, and how to save and resume it.

    Args:
        config: The run.
        source: Draws training images.
        val: Validation images in network units.
        folder: Where the log, the weights and the state go; a state found there is resumed.
        draw_operator: Draws one operator per training image; None trains a prior.
        device: Where to train.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: Source,
        val: Images,
        folder: Path,
        *,
        draw_operator: DrawOperator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.source, self.folder = config, source, folder
        self.draw_operator = draw_operator
        self.device = torch.device(device)
        self.val = val.to(self.device)
        problem = config.problem
        self.probes = None if problem is None else Probes.draw(problem, val, config.seed)
        self.denoiser = build_denoiser(config).to(self.device)
        self.uncertainty = LearnedUncertainty().to(self.device)
        self.components = ComponentsLoss(config.loss.components)
        self.world = World.current()
        self.world.share(config.batch)
        if self.world.size > 1 and self.denoiser.components:
            raise ValueError(
                "a network with components is trained by one process: the scale of its errors is "
                "an average over whole batches. Start it without torchrun."
            )
        self._check_conditioning()
        self.ema = build_denoiser(config).to(self.device)
        self.network = self.denoiser.with_components
        if config.compile is not None:
            self.network = torch.compile(self.network, backend=config.compile)
        self.parameters = [*self.denoiser.parameters(), *self.uncertainty.parameters()]
        self.optimiser = torch.optim.Adam(self.parameters, betas=(0.9, 0.99))
        self.seen = self.refused = self.refused_in_a_row = 0
        self.power_ema: PowerEma | None = None
        self.base: FrozenBase | None = None
        self.resume()

    def _check_conditioning(self) -> None:
        """Raise unless what the data tell of an image is what the network wants to be told."""
        inner, bins = self.denoiser.network, self.config.data.heights
        labels = getattr(getattr(inner, "conditioning", inner), "labels", 0)
        if labels != bins:
            raise ValueError(
                f"network.labels is {labels} but data.heights is {bins}: the classes are bins of "
                "the height of a slice, so give both the same number, or neither."
            )
        if self.tells_changes and self.config.data.augment != "edm":
            raise ValueError(
                "network.augment_labels is on but data.augment is "
                f"{self.config.data.augment!r}, which tells nothing; use data.augment: edm."
            )

    @property
    def tells_changes(self) -> bool:
        """Whether the network is told how its images were changed."""
        conditioning = getattr(self.denoiser.network, "conditioning", None)
        return getattr(conditioning, "augment_features", None) is not None

    def resume(self) -> None:
        """Load the state of the folder; without one, the weights to start from, if any."""
        path = self.folder / "state.safetensors"
        if not path.exists():
            drawn = list(self.denoiser.state_dict())
            if self.config.start is not None:
                drawn = start_from(self.denoiser, Path(self.config.start))
            self._freeze_base(self.denoiser.state_dict())
            if any(IN_STATE in name for name in drawn):  # else it came with the weights
                self._fit_estimator()
            self.ema.load_state_dict(self.denoiser.state_dict())
            self._start_power_ema()
            return
        tensors = load_tensors(path)
        self.seen = int(tensors["seen"])
        self.refused = int(tensors["refused"])

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.denoiser.load_state_dict(part("denoiser/"))
        self.ema.load_state_dict(part("ema/"))
        self._start_power_ema()
        if self.power_ema is not None:
            self.power_ema.load(part("power_ema/"))
        self.uncertainty.load_state_dict(part("uncertainty/"))
        self._freeze_base(part("base/"))
        scales = part("error_scale/")
        self.components.scale.average = {k: v.item() for k, v in scales.items()}
        state = self.optimiser.state_dict()
        moments = part("adam/")
        state["state"] = {
            i: {name: moments[f"{i}/{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
            for i in range(len(self.parameters))
            if f"{i}/step" in moments
        }
        self.optimiser.load_state_dict(state)

    def _freeze_base(self, state: Mapping[str, Tensor]) -> None:
        if self.config.loss.components.base == "frozen":
            if self.config.start is None:
                raise ValueError(
                    "loss.components.base is 'frozen' but the run starts from no weights; name "
                    "those whose mean it should keep by start."
                )
            self.base = FrozenBase(build_denoiser(self.config).to(self.device), state)

    def _start_power_ema(self) -> None:
        if self.config.power_ema is not None:
            self.power_ema = PowerEma(self.config.power_ema, self.denoiser)

    def _fit_estimator(self) -> None:
        """Give the linear estimate of the network the law of the images."""
        guess = getattr(self.denoiser.network, "linear_guess", None)
        if guess is not None:
            generator = step_generator(self.config.seed, 6)
            count = min(guess.images, FIT_PIXELS // self.val[0].numel())
            # A few at a time: painting and augmenting want much more room than images do.
            blocks = (min(500, count - at) for at in range(0, count, 500))
            parts = [Drawn.of(self.source(block, generator)).images for block in blocks]
            guess.fit(torch.cat(parts).to(self.device))

    def save(self) -> None:
        """Write the full state and the averaged weights; one process does it for all."""
        if not self.world.leads:
            return
        state = _flatten(
            {
                "seen": self.seen,
                "refused": self.refused,
                "denoiser": self.denoiser.state_dict(),
                "ema": self.ema.state_dict(),
                "uncertainty": self.uncertainty.state_dict(),
                "error_scale": self.components.scale.average,
                "adam": self.optimiser.state_dict()["state"],
                "power_ema": {} if self.power_ema is None else self.power_ema.state(),
                "base": {} if self.base is None else self.base.state(),
            }
        )
        save_tensors(self.folder / "state.safetensors", state)
        save_tensors(self.folder / "ema.safetensors", self.ema.state_dict())

    def step(self) -> float:
        """Take one optimiser step and return the mean weighted loss.

        Raises:
            FloatingPointError: If ten steps in a row would not have been finite.
        """
        config = self.config
        generator = step_generator(config.seed, 1, self.seen)
        whole = draw_batch(config, self.source, self.draw_operator, generator)
        batch = whole.pick(self.world.share(config.batch)) if self.world.size > 1 else whole
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            told = batch.told if self.tells_changes else None
            clean, raw = self.network(batch.x_t, batch.sigma, batch.problem, batch.label, told)
        if config.loss.project and batch.problem is not None:
            clean = batch.problem.project(clean)
        if config.loss.regression:
            per_image = (clean - batch.truth).square().flatten(1).mean(1)
            loss = per_image.mean()
        else:
            per_image = denoising_loss(clean, batch.truth, batch.sigma, config.loss.sigma_data)
            loss = self.uncertainty(per_image, batch.sigma)
        if self.denoiser.components and batch.problem is not None:
            drowned = batch.sigma == config.loss.pure_noise_sigma
            mean = clean if self.base is None else self.base(batch)
            loss = loss + self.components(raw, mean, batch.truth, batch.problem, drowned, self.seen)
        self.optimiser.zero_grad()
        loss.backward()
        self.world.mean(p.grad for p in self.parameters if p.grad is not None)
        norm = nn.utils.clip_grad_norm_(self.parameters, config.optimiser.clip)
        self.seen += config.batch
        if not torch.isfinite(norm):
            self.refused += 1
            self.refused_in_a_row += 1
            if self.refused_in_a_row >= 10:
                raise FloatingPointError(
                    f"10 steps in a row were not finite (last at {self.seen} samples); lower "
                    "optimiser.lr and start again from the last state of the run folder."
                )
            return float("nan")
        self.refused_in_a_row = 0
        for group in self.optimiser.param_groups:
            group["lr"] = config.optimiser.rate(self.seen)
        self.optimiser.step()
        self._average()
        mean = per_image.detach().mean()
        self.world.mean([mean])
        return float(mean)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights; early on the half-life grows with the samples seen."""
        half_life = min(self.config.ema, self.seen / 3)
        keep = 0.5 ** (self.config.batch / half_life)
        for ours, theirs in zip(self.ema.parameters(), self.denoiser.parameters(), strict=True):
            ours.lerp_(theirs, 1 - keep)
        power = self.power_ema
        if power is not None:
            power.update(self.denoiser, self.seen, self.config.batch)
            ends = self.seen >= self.config.samples
            if self.world.leads and (ends or power.due(self.seen, self.config.batch)):
                power.store(self.folder, self.seen)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Ask the averaged weights about fixed images.

        Returns:
            Weighted denoising losses without a measurement at fixed noise levels, and, of a
            conditional network, the PSNR of its one-call posterior mean for each family.
        """
        generator = step_generator(self.config.seed, 2)
        noise = torch.randn(self.val.shape, generator=generator).to(self.device)
        self.ema.eval()
        losses = {}
        for level in VALIDATION_SIGMAS:
            errors = []
            for x, n in zip(self.val.split(64), noise.split(64), strict=True):
                sigma = torch.full((len(x),), level, device=self.device)
                clean = self.ema(x + level * n, sigma)
                errors.append(denoising_loss(clean, x, sigma, self.config.loss.sigma_data))
            losses[f"val_{level:g}"] = float(torch.cat(errors).mean())
        if self.probes is not None:
            losses |= self.probes.psnr(self.ema, self.config.loss.pure_noise_sigma)
        return losses


def _flatten(state: Mapping[Any, Any], prefix: str = "") -> dict[str, Tensor]:
    """Flatten nested dicts of tensors and numbers into ``a/b/c`` names for safetensors."""
    flat: dict[str, Tensor] = {}
    for key, value in state.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{name}/")
        else:
            flat[name] = torch.as_tensor(
                value, dtype=torch.float64 if isinstance(value, float) else None
            )
    return flat
