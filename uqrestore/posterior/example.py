"""A small posterior plan, for examples and tests of code that writes or reads posterior files."""

import numpy as np

from uqrestore.posterior.plan import PosteriorPlan
from uqrestore.scans.grid import Grid, Orientation
from uqrestore.scans.placement import Placement


def example_plan(
    *,
    draws: int = 4,
    slices: tuple[int, ...] = (0, 2, 3),
    channels: int = 1,
    shape: tuple[int, int] = (7, 6),
    seed: int = 0,
    stats: tuple[str, ...] = (),
) -> PosteriorPlan:
    """Return a plan for slices of an identity measurement on a tilted 3 mm grid.

    Args:
        draws: Draws of each slice.
        slices: Slices on a grid of six, or of more if they need it.
        channels: Channels of an image.
        shape: Rows and columns.
        seed: Seed of the measurement's values and of the plan.
        stats: Names of numbers given with every draw.
    """
    tilt = np.deg2rad(10)
    affine = np.eye(4)
    affine[:3, :3] = 3 * np.asarray(
        [[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]]
    )
    affine[:3, 3] = (-9, 5, 12)
    grid = Grid((shape[1], shape[0], max(6, slices[-1] + 1)), affine)
    unchanged = Orientation((0, 1, 2), (False, False, False))
    values = np.random.default_rng(seed).normal(size=(len(slices), channels, *shape))
    return PosteriorPlan(
        placement=Placement(grid, grid, grid, grid, unchanged, (0, 0)),
        slices=slices,
        draws=draws,
        channels=channels,
        unit="a.u.",
        seed=seed,
        fingerprint=f"example-{seed}",
        operator=("identity", {"shape": [channels, *shape]}, {}),
        y=(("z", "channel", "y", "x"), values.astype(np.float32)),
        stats=stats,
    )
