"""The training loop: the same numbers from one run, a resumed one, or several processes."""

import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uqrestore.diffusion.denoiser import NetworkDenoiser, Preconditioning
from uqrestore.diffusion.losses import LearnedUncertainty, denoising_loss, draw_sigma
from uqrestore.networks import BACKBONES
from uqrestore.networks.weights import load_json, load_tensors, save_json, save_tensors
from uqrestore.problem import Problem, simulate
from uqrestore.training.components import ComponentsLoss
from uqrestore.training.config import TrainConfig
from uqrestore.training.data import Images, Source, step_generator
from uqrestore.training.problems import DrawOperator
from uqrestore.training.start import start_from
from uqrestore.training.validation import Probes

GUESS_IMAGES = 3000
"""Images from which the law behind a linear guess is taken."""
VALIDATION_SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Progress:
    """What a progress display needs after each step."""

    seen: int
    samples: int
    loss: float
    samples_per_second: float


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
        self.ema = build_denoiser(config).to(self.device)
        self.parameters = [*self.denoiser.parameters(), *self.uncertainty.parameters()]
        self.optimiser = torch.optim.Adam(self.parameters, betas=(0.9, 0.99))
        self.seen = self.refused = self.refused_in_a_row = 0
        self.resume()

    def resume(self) -> None:
        """Load the state of the folder; without one, the weights to start from, if any."""
        path = self.folder / "state.safetensors"
        if not path.exists():
            if self.config.start is not None:
                start_from(self.denoiser, Path(self.config.start))
            self._fit_guess()
            self.ema.load_state_dict(self.denoiser.state_dict())
            return
        tensors = load_tensors(path)
        self.seen = int(tensors["seen"])
        self.refused = int(tensors["refused"])

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.denoiser.load_state_dict(part("denoiser/"))
        self.ema.load_state_dict(part("ema/"))
        self.uncertainty.load_state_dict(part("uncertainty/"))
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

    def _fit_guess(self) -> None:
        """Give the linear estimate of the network, if it wants one, the law of the images."""
        guess = getattr(self.denoiser.network, "linear_guess", None)
        if guess is not None:
            images = self.source(GUESS_IMAGES, step_generator(self.config.seed, 6))
            guess.fit(images.to(self.device))

    def save(self) -> None:
        """Write the full state and the averaged weights."""
        state = _flatten(
            {
                "seen": self.seen,
                "refused": self.refused,
                "denoiser": self.denoiser.state_dict(),
                "ema": self.ema.state_dict(),
                "uncertainty": self.uncertainty.state_dict(),
                "error_scale": self.components.scale.average,
                "adam": self.optimiser.state_dict()["state"],
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
        truth = self.source(config.batch, generator)
        sigma = self.draw_sigma(generator)
        noise = torch.randn(truth.shape, generator=generator)
        problem = self.draw_problem(truth, generator)
        truth, sigma, noise = (t.to(self.device) for t in (truth, sigma, noise))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            x_t = truth + sigma[:, None, None, None] * noise
            clean, raw = self.denoiser.with_components(x_t, sigma, problem)
        per_image = denoising_loss(clean, truth, sigma, config.loss.sigma_data)
        loss = self.uncertainty(per_image, sigma)
        if self.denoiser.components and problem is not None:
            drowned = sigma == config.loss.pure_noise_sigma
            loss = loss + self.components(raw, clean, truth, problem, drowned, self.seen)
        self.optimiser.zero_grad()
        loss.backward()
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
        return float(per_image.detach().mean())

    def draw_sigma(self, generator: torch.Generator) -> Tensor:
        """Draw the noise level of every image of a batch."""
        loss, count = self.config.loss, self.config.batch
        sigma = draw_sigma(count, generator, mean=loss.log_mean, std=loss.log_std)
        drowned = torch.rand(count, generator=generator) < loss.pure_noise
        return sigma.masked_fill(drowned, loss.pure_noise_sigma)

    def draw_problem(self, truth: Images, generator: torch.Generator) -> Problem | None:
        """Measure every image by an operator and with noise of its own."""
        said = self.config.problem
        if said is None or self.draw_operator is None:
            return None
        operator = self.draw_operator(len(truth), generator)
        low, high = said.noise_std
        noise_std = low + (high - low) * torch.rand(len(truth), generator=generator)
        quiet = torch.rand(len(truth), generator=generator) < said.noise_free
        noise_std = noise_std.masked_fill(quiet, 0.0)
        problem = simulate(operator, truth)
        noise = torch.randn(problem.y.shape, generator=generator)
        if operator.row_mask is not None:
            noise = noise * operator.row_mask
        std = noise_std.reshape(-1, *[1] * len(operator.out_shape))
        return Problem(operator, problem.y + std * noise, noise_std).to(self.device)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights; early on the half-life grows with the samples seen."""
        half_life = min(self.config.ema, self.seen / 3)
        keep = 0.5 ** (self.config.batch / half_life)
        for ours, theirs in zip(self.ema.parameters(), self.denoiser.parameters(), strict=True):
            ours.lerp_(theirs, 1 - keep)

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


def train(
    config: TrainConfig,
    source: Source,
    val: Images,
    folder: Path,
    *,
    draw_operator: DrawOperator | None = None,
    device: torch.device | str = "cpu",
    save_every: float = 180.0,
    report: Callable[[Progress], None] | None = None,
) -> Path:
    """Train until ``config.samples`` have been seen, resuming whatever the folder holds.

    Args:
        config: The run.
        source: Draws training images.
        val: Validation images in network units, of other people.
        folder: Where ``log.csv``, ``ema.safetensors`` and the state go.
        draw_operator: Draws one operator per training image; needed with ``config.problem``.
        device: Where to train.
        save_every: Seconds between two saved states; a stop by the user saves as well.
        report: Called after each step.

    Returns:
        The file of the averaged weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_same_run(config, folder)
    if (config.problem is None) != (draw_operator is None):
        raise ValueError("config.problem and draw_operator go together: give both or neither.")
    trainer = Trainer(config, source, val, folder, draw_operator=draw_operator, device=device)
    started, saved, first = time.monotonic(), time.monotonic(), trainer.seen
    next_validation = (trainer.seen // config.validate_every + 1) * config.validate_every
    losses: list[float] = []
    try:
        while trainer.seen < config.samples:
            losses.append(trainer.step())
            speed = (trainer.seen - first) / (time.monotonic() - started)
            if report is not None:
                report(Progress(trainer.seen, config.samples, losses[-1], speed))
            if trainer.seen >= min(next_validation, config.samples):
                next_validation += config.validate_every
                _log(folder, trainer, losses, speed)
                losses = []
            if time.monotonic() - saved > save_every:
                trainer.save()
                saved = time.monotonic()
    finally:
        trainer.save()
    return folder / "ema.safetensors"


def _check_same_run(config: TrainConfig, folder: Path) -> None:
    """Refuse to resume a run of another configuration; a longer run of the same one is fine."""
    path, free = folder / "config.json", {"samples", "validate_every", "start"}
    if path.exists():
        old = TrainConfig.model_validate(load_json(path)).model_dump(exclude=free)
        new = config.model_dump(exclude=free)
        if changed := [key for key in new if new[key] != old[key]]:
            raise ValueError(
                f"{folder}: holds a run whose {', '.join(changed)} differ; continue it with the "
                "same pipeline or choose another output folder."
            )
    save_json(path, config.model_dump(mode="json"))


def _log(folder: Path, trainer: Trainer, losses: list[float], speed: float) -> None:
    row = {
        "seen": trainer.seen,
        "loss": sum(losses) / len(losses),
        "samples_per_second": round(speed, 2),
        "refused": trainer.refused,
        **trainer.validate(),
    }
    path = folder / "log.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


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
