"""One random stream per posterior sample, whatever the batch, worker or machine."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class SampleNoise:
    """Gaussian noise where row ``(i, j)`` depends on ``(seed, scan, slices[j], samples[i])`` alone.

    Splitting ten samples into batches of two gives the same ten images as one batch. Torch
    streams differ between CPU and CUDA, so noise is drawn on the CPU and moved.

    Args:
        seed: Seed of the run.
        samples: Indices of the posterior samples in this batch.
        scan: First eight bytes of the hash of the scan; never an index in a list, else the
            result would depend on what else is in the list.
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


def _stream(*key: int) -> torch.Generator:
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64).item()
    return torch.Generator().manual_seed(seed)
