"""Random streams: one per posterior sample, independent of batch, worker and machine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Sample index of the measurement noise, which no posterior sample has.
MEASUREMENT_STREAM = 2**62
# First sample index of the draws that coil maps are refined with.
REFINEMENT_STREAM = 2**61

VOLUME = 2**40  # number of the first slice of a volume's field; single slices come before it
REACH = 2.5  # truncation of the weights, in lengths; beyond it they are below 0.002


class SampleNoise:
    """Gaussian noise whose row ``(i, j)`` depends on ``(seed, scan, slices[j], samples[i])`` alone.

    Ten samples in batches of two are the same ten images as in one batch. Random streams of torch
    differ between CPU and CUDA, so noise is drawn on the CPU and moved to the device.

    Args:
        seed: Seed of the run.
        samples: Indices of the posterior samples in this batch.
        scan: First eight bytes of the hash of the scan. Not an index in a list, or the result
            would depend on the rest of the list.
        slices: One index for a single problem, or one per problem of a batch.

    Attributes:
        shape: ``(sample,)`` for a single problem, ``(sample, problem)`` for a batch.
    """

    def __init__(
        self, seed: int, samples: Sequence[int], *, scan: int = 0, slices: int | Sequence[int] = 0
    ) -> None:
        rows = [slices] if isinstance(slices, int) else list(slices)
        self.shape: tuple[int, ...] = (len(samples),)
        if not isinstance(slices, int):
            self.shape = (len(samples), len(rows))
        self._streams = [_stream(seed, scan, row, i) for i in samples for row in rows]

    def __len__(self) -> int:
        return self.shape[0]

    def normal(self, rest: Sequence[int], like: Tensor) -> Tensor:
        """Return unit Gaussian noise ``(*self.shape, *rest)``, dtype and device of ``like``."""
        rest = tuple(rest)
        noise = torch.empty(len(self._streams), *rest, dtype=like.dtype)
        for row, stream in zip(noise, self._streams, strict=True):
            row.normal_(generator=stream)
        return noise.reshape(*self.shape, *rest).to(like.device)

    def like(self, x: Tensor) -> Tensor:
        """Return noise of the shape, dtype and device of ``x``, shape ``(*self.shape, ...)``."""
        lead = tuple(x.shape[: len(self.shape)])
        if lead != self.shape:
            raise ValueError(
                f"noise has streams for batch {self.shape} but the images come as "
                f"{tuple(x.shape)}; the leading dimensions must be (sample, *problem)."
            )
        return self.normal(x.shape[len(self.shape) :], x)


@dataclass(frozen=True)
class Coherence:
    r"""Correlation of the noise between slices of a volume.

    Slices that are :math:`h > 0` apart have the correlation :math:`a e^{-h^2 / (2 l^2)}`, in
    geostatistics a Gaussian model of range :math:`l` with the nugget :math:`1 - a`.

    Attributes:
        length: :math:`l`, in slices; 0 makes slices independent.
        share: :math:`a`, the share of the variance that is correlated; the rest is independent.

    Raises:
        ValueError: If ``length`` is below 0, or ``share`` not in (0, 1].
    """

    length: float = 0.0
    share: float = 1.0

    def __post_init__(self) -> None:
        if not self.length >= 0:
            raise ValueError(f"length of a correlation must be 0 or more, got {self.length}.")
        if not 0 < self.share <= 1:
            raise ValueError(f"share of the variance must be above 0, up to 1, got {self.share}.")

    def correlation(self, distance: float) -> float:
        """Return the correlation of slices at a distance, in slices."""
        if not self.length:
            return 0.0
        return self.share * math.exp(-0.5 * (distance / self.length) ** 2)


ALONE = Coherence()
"""Independent slices."""


class CoherentNoise(SampleNoise):
    r"""Gaussian noise of a volume, correlated between neighbouring slices.

    One white field per ``(seed, scan, sample)`` covers the whole volume, whichever slices are
    drawn; slice :math:`k` gets :math:`\sqrt a \sum_m w_m n_{k+m}` of it, with
    :math:`w_m \propto e^{-m^2 / l^2}` and :math:`\sum w_m^2 = 1`, and :math:`\sqrt{1 - a}` of a
    field of its own. The noise of a single slice is white with unit variance, so its samples have
    the distribution of those with :class:`SampleNoise`.

    Args:
        seed: Seed of the run.
        samples: Indices of the posterior samples in this batch.
        coherence: Correlation between slices; its length is above 0.
        scan: As for :class:`SampleNoise`.
        slices: One index per problem of a batch.

    Raises:
        ValueError: If the length is 0.
    """

    def __init__(
        self,
        seed: int,
        samples: Sequence[int],
        *,
        coherence: Coherence,
        scan: int = 0,
        slices: Sequence[int],
    ) -> None:
        length, share = coherence.length, coherence.share
        if not length:
            raise ValueError(
                "the length of a correlation must be above 0 here, got 0; use SampleNoise."
            )
        super().__init__(seed, samples, scan=scan, slices=slices)
        reach = math.ceil(REACH * length)
        offsets = range(-reach, reach + 1)
        weights = np.asarray([math.exp(-((m / length) ** 2)) for m in offsets])
        self._weights = (math.sqrt(share) * weights / np.linalg.norm(weights)).tolist()
        self._own = math.sqrt(1 - share)
        self._fields = [
            [_stream(seed, scan, VOLUME + row + m, i) for m in offsets]
            for i in samples
            for row in slices
        ]

    def normal(self, rest: Sequence[int], like: Tensor) -> Tensor:
        """Return unit Gaussian noise ``(*self.shape, *rest)``, dtype and device of ``like``."""
        rest = tuple(rest)
        noise = torch.zeros(len(self._fields), *rest, dtype=like.dtype)
        one = torch.empty(rest, dtype=like.dtype)
        # Row by row: a sum over all rows at once may round differently for other numbers of them.
        for row, field, own in zip(noise, self._fields, self._streams, strict=True):
            if self._own:
                row.add_(one.normal_(generator=own), alpha=self._own)
            for weight, stream in zip(self._weights, field, strict=True):
                row.add_(one.normal_(generator=stream), alpha=weight)
        return noise.reshape(*self.shape, *rest).to(like.device)


def _stream(*key: int) -> torch.Generator:
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64).item()
    return torch.Generator().manual_seed(seed)
