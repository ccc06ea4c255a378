"""Several processes that train one network: each takes its share of every batch."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among those that train together.

    Attributes:
        rank: Of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "World":
        """Return the processes that ``torch.distributed`` knows; else this one alone."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of ``count`` images are this process's.

        Raises:
            ValueError: If they cannot be shared evenly, for the mean of means is then no mean.
        """
        if count % self.size:
            raise ValueError(
                f"a batch of {count} cannot be shared by {self.size} processes; make batch a "
                f"multiple of {self.size}."
            )
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def mean(self, values: Iterable[Tensor]) -> None:
        """Replace tensors by their means over the processes."""
        if self.size > 1:
            for value in values:
                dist.all_reduce(value)
                value /= self.size

    def wait(self) -> None:
        """Wait for the other processes."""
        if self.size > 1:
            dist.barrier()


def join(device: str) -> str:
    """Join the processes that ``torchrun`` started, if it did.

    Args:
        device: Device of the whole training; of ``cuda`` each process takes a GPU of its own.

    Returns:
        The device of this process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        if device == "cuda":
            device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
            torch.cuda.set_device(device)
    return device
