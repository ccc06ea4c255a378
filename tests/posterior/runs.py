"""A run as restore makes it: slabs whose values follow from (draw, slice) alone."""

import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import xarray as xr

from uqrestore.posterior import (
    ComponentBox,
    Interval,
    PosteriorPlan,
    PosteriorWriter,
    Predicted,
    Storage,
)
from uqrestore.posterior.example import example_plan


def plan(**changes: object) -> PosteriorPlan:
    """Return the example plan with some fields changed."""
    return dataclasses.replace(example_plan(draws=5), **changes)  # type: ignore[arg-type]


def two_channels() -> PosteriorPlan:
    """Return a plan of complex images."""
    return example_plan(draws=5, channels=2)


def images(of: PosteriorPlan, draws: list[int], slices: list[int]) -> np.ndarray:
    """Return the images of a block: the same for a (draw, slice) in whatever block it comes."""
    shape = (of.channels, of.rows, of.columns)
    return np.stack(
        [
            [
                np.random.default_rng([draw, index]).normal(50, 5, shape).astype(np.float32)
                for index in slices
            ]
            for draw in draws
        ]
    )


def numbers(of: PosteriorPlan, draws: list[int], slices: list[int]) -> dict[str, np.ndarray]:
    """Return the statistics of a block."""
    value = np.add.outer(np.asarray(draws) * 10.0, np.asarray(slices)).astype(np.float32)
    return {name: value + len(name) for name in of.stats}


def write_rest(writer: PosteriorWriter, at_once: int = 2) -> None:
    """Write every slab that is missing."""
    of = writer.plan
    for index in of.slices:
        while missing := writer.missing([index])[:at_once]:
            block = images(of, missing, [index])
            writer.write(missing, [index], block, nfe=7, stats=numbers(of, missing, [index]))


def finished(
    path: Path, of: PosteriorPlan, storage: Storage | None = None, *, box: bool = False
) -> Path:
    """Write a whole file in one run."""
    with PosteriorWriter(path, of) as writer:
        write_rest(writer)
        return conclude(writer, storage, box=box)


def conclude(writer: PosteriorWriter, storage: Storage | None = None, *, box: bool = False) -> Path:
    """Finish a file with all it can hold: a network's mean, intervals or a box with a promise."""
    of = writer.plan
    image = (len(of.slices), of.channels, of.rows, of.columns)
    nothing = np.zeros((0, *image), np.float32)
    given_moments = Predicted(np.full(image, 49, np.float32), nothing, np.zeros((0, image[0])))
    summary = writer.summarise(components=2, predicted=given_moments)
    text = '{"alpha": 0.1}'
    interval = Interval(summary.mean - 9, summary.mean + 9, text)
    region = ComponentBox(2 * summary.pc_std, np.ones(image[0]), text)
    summary = dataclasses.replace(summary, guaranteed=region if box else interval)
    return writer.finish(summary, figures={"psnr": 31.5}, storage=storage)


def load(path: Path) -> xr.DataTree:
    """Read a whole file into memory."""
    with xr.open_datatree(path) as tree:
        return tree.load()


def assert_same(one: Path, other: Path) -> None:
    """Two files hold the same numbers, apart from the time they took."""
    a, b = load(one), load(other)
    for group in ("posterior", "estimate", "observed_data", "constant_data", "sample_stats"):
        if group in a.children or group in b.children:
            ignore = ["wall_s"] if group == "posterior" else []
            xr.testing.assert_identical(
                a[group].to_dataset().drop_vars(ignore), b[group].to_dataset().drop_vars(ignore)
            )


def endless(path: str) -> None:
    """Never return, as HDF5 on some damaged files."""
    while path:
        pass


def crashing(_path: str) -> None:
    """End the process."""
    os.kill(os.getpid(), signal.SIGSEGV)
