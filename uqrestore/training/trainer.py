"""Everything that changes while a network trains: started once, resumed to the bit."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from uqrestore._shared.named import find_named
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.losses import LearnedUncertainty, denoising_loss
from uqrestore.networks import BACKBONES
from uqrestore.networks.linear.build import IN_STATE
from uqrestore.training.batch import DrawOperator, draw_batch
from uqrestore.training.components import ComponentsLoss, FrozenBase
from uqrestore.training.config import TrainConfig
from uqrestore.training.data import Drawn, Images, Source, step_generator
from uqrestore.training.difficulty import difficulty_weights
from uqrestore.training.parallel import World
from uqrestore.training.power_ema import PowerEma
from uqrestore.training.state import STATE, SavedState, save_state
from uqrestore.training.validation import Probes
from uqrestore.training.warm_start import start_from

FIT_PIXELS = 200_000_000
"""Most pixels that a linear estimate is fitted to: 0.8 GB, of which a fit makes some copies."""
FIT_BLOCK = 500
"""Images drawn at once for that fit: painting and augmenting need much more room than images."""
REFUSED_IN_A_ROW = 10
"""Steps in a row that may not be finite before the run ends."""
VALIDATION_SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def build_denoiser(config: TrainConfig) -> NetworkDenoiser:
    """Build the network of a configuration with its seeded initial weights."""
    backbone = find_named(config.network.name, BACKBONES, "backbone")
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(torch.Generator().manual_seed(config.seed).get_state())
        network = backbone(config.data.shape, **config.network.options)
    return NetworkDenoiser(network, config.loss.preconditioning)


class Trainer:
    """Everything that changes while training.

    :meth:`open` starts a run or resumes the one of a folder; the constructor reads and writes
    nothing.

    Args:
        config: The run.
        source: Draws training images.
        val: Validation images in network units.
        folder: Where the log, the weights and the state go.
        draw_operator: Draws one operator per training image; None trains a prior.
        device: Where to train.

    Raises:
        ValueError: If the network does not take what the data give, or several processes cannot
            train it.
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

    @classmethod
    def open(
        cls,
        config: TrainConfig,
        source: Source,
        val: Images,
        folder: Path,
        *,
        draw_operator: DrawOperator | None = None,
        device: torch.device | str = "cpu",
    ) -> "Trainer":
        """Resume the run of a folder, or start one; the arguments are those of the class."""
        trainer = cls(config, source, val, folder, draw_operator=draw_operator, device=device)
        if (folder / STATE).exists():
            trainer.resume()
        else:
            trainer.start()
        return trainer

    def start(self) -> None:
        """Load the weights to start from, if any, and fit the linear estimate, if any."""
        fresh = list(self.denoiser.state_dict())
        if self.config.start is not None:
            fresh = start_from(self.denoiser, Path(self.config.start))
        self._freeze_base(self.denoiser.state_dict())
        if any(IN_STATE in name for name in fresh):  # else it came with the weights
            self._fit_estimator()
        self.ema.load_state_dict(self.denoiser.state_dict())
        self._start_power_ema()

    def resume(self) -> None:
        """Load the state of the folder."""
        saved = SavedState(self.folder)
        self.seen, self.refused = saved.number("seen"), saved.number("refused")
        self.denoiser.load_state_dict(saved.part("denoiser"))
        self.ema.load_state_dict(saved.part("ema"))
        self._start_power_ema()
        if self.power_ema is not None:
            self.power_ema.load(saved.part("power_ema"))
        self.uncertainty.load_state_dict(saved.part("uncertainty"))
        self._freeze_base(saved.part("base"))
        scales = saved.part("error_scale")
        self.components.scale.average = {k: v.item() for k, v in scales.items()}
        saved.moments(self.optimiser, len(self.parameters))

    def _check_conditioning(self) -> None:
        """Raise unless the network takes the labels and the augmentation that the data give."""
        network, bins = self.denoiser.network, self.config.data.heights
        if network.labels != bins:
            raise ValueError(
                f"network.labels is {network.labels} but data.heights is {bins}: the classes are "
                "bins of the height of a slice, so give both the same number, or neither."
            )
        if self.config.loss.by_difficulty and network.linear_estimate is None:
            raise ValueError(
                "loss.by_difficulty weighs problems by the error of the linear estimate but the "
                "network has none; give network.guess its steps, or leave by_difficulty out."
            )
        if network.takes_augmentation and self.config.data.augment != "edm":
            raise ValueError(
                "network.augment_labels is on but data.augment is "
                f"{self.config.data.augment!r}, which gives no parameters; use data.augment: edm."
            )

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
        """Fit the Gaussian model of the linear estimate to training images."""
        estimate = self.denoiser.network.linear_estimate
        if estimate is None:
            return
        generator = step_generator(self.config.seed, 6)
        count = min(estimate.images, FIT_PIXELS // self.val[0].numel())
        blocks = (min(FIT_BLOCK, count - at) for at in range(0, count, FIT_BLOCK))
        parts = [Drawn.of(self.source(block, generator)).images for block in blocks]
        estimate.fit(torch.cat(parts).to(self.device))

    def save(self) -> None:
        """Write the full state and the averaged weights; one process does it for all."""
        if not self.world.leads:
            return
        state = {
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
        save_state(self.folder, state, self.ema)

    def step(self) -> float:
        """Take one optimiser step and return the mean weighted loss.

        Raises:
            FloatingPointError: If ten steps in a row were not finite.
        """
        config = self.config
        generator = step_generator(config.seed, 1, self.seen)
        whole = draw_batch(config, self.source, self.draw_operator, generator)
        batch = whole.pick(self.world.share(config.batch)) if self.world.size > 1 else whole
        batch, estimate = batch.to(self.device), self.denoiser.network.linear_estimate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            augment = batch.augmentation if self.denoiser.network.takes_augmentation else None
            clean, raw = self.network(batch.x_t, batch.sigma, batch.problem, batch.label, augment)
        if config.loss.project and batch.problem is not None:
            clean = batch.problem.project(clean)
        if config.loss.regression:
            per_image = (clean - batch.truth).square().flatten(1).mean(1)
            loss = per_image.mean()
        else:
            weight = config.loss.preconditioning.weight(batch.sigma)
            per_image = weight * (clean - batch.truth).square().flatten(1).mean(1)
            if config.loss.by_difficulty and estimate is not None:
                given = batch, config.loss.sigma_data, generator
                per_image = per_image * difficulty_weights(estimate, *given)
            edm = config.loss.kind == "edm"
            loss = self.uncertainty(per_image, batch.sigma) if edm else per_image.mean()
        if self.denoiser.components and batch.problem is not None:
            pure = batch.sigma == config.loss.pure_noise_sigma
            mean = clean if self.base is None else self.base(batch)
            loss = loss + self.components(raw, mean, batch.truth, batch.problem, pure, self.seen)
        self.optimiser.zero_grad()
        loss.backward()
        self.world.mean(p.grad for p in self.parameters if p.grad is not None)
        norm = nn.utils.clip_grad_norm_(self.parameters, config.optimiser.clip)
        self.seen += config.batch
        if not torch.isfinite(norm):
            self.refused += 1
            self.refused_in_a_row += 1
            if self.refused_in_a_row >= REFUSED_IN_A_ROW:
                raise FloatingPointError(
                    f"{REFUSED_IN_A_ROW} steps in a row were not finite (last at {self.seen} "
                    "samples); lower optimiser.lr and start again from the last state of the run."
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
        """Update the averaged weights; the half-life grows with the samples seen at first."""
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
        """Validate the averaged weights on fixed images.

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
