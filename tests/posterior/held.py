"""What writing a posterior file holds: ``python -m tests.posterior memory DRAWS SLICES``."""

from pathlib import Path

import numpy as np

from uqrestore._shared.memory import peak_memory
from uqrestore.posterior import PosteriorWriter
from uqrestore.posterior.example import example_plan

SIDE = 128


def held(folder: Path, draws: int, slices: int) -> str:
    """Write a file draw by draw, and say how far the peak of memory rose."""
    plan = example_plan(draws=draws, slices=tuple(range(slices)), shape=(SIDE, SIDE))
    rng, before = np.random.default_rng(0), peak_memory()
    with PosteriorWriter(folder / "memory.h5", plan) as writer:
        for index in plan.slices:
            for draw in range(draws):
                image = rng.standard_normal((1, 1, 1, SIDE, SIDE)).astype(np.float32)
                writer.write([draw], [index], image)
        written = peak_memory()
        writer.finish(writer.summarise(components=3))
    rose = [(peak - before) / 2**20 for peak in (written, peak_memory())]
    return (
        f"{draws} draws of {slices} slices of {SIDE} x {SIDE}: {rose[0]:.0f} MiB to write them, "
        f"{rose[1]:.0f} MiB with summaries and the finished file"
    )
