"""A small posterior file whose draws are exact: for notebooks, documentation and tests."""

from pathlib import Path

import numpy as np
import torch

from uqrestore.noise import SampleNoise
from uqrestore.operators.masked_fourier import MaskedFourier
from uqrestore.operators.masks import cartesian
from uqrestore.posterior import PosteriorPlan, PosteriorWriter
from uqrestore.posterior.acquisition import Acquisition, acquire
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.scans import Intensity
from uqrestore.scans.grid import Grid, Orientation
from uqrestore.scans.placement import Placement

INTENSITY = Intensity(500.0, 400.0, "a.u.")
VOXEL = 3.0  # mm
TRUTH_STREAM = 2**61  # a sample index that no draw has


def write_example(
    path: Path,
    *,
    shape: tuple[int, int] = (18, 20),
    slices: int = 5,
    draws: int = 16,
    components: int = 3,
    noise_std: float = 0.05,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write exact draws of the posterior of Gaussian fields, measured on a part of their k-space.

    The prior is a Gaussian field, so the posterior is a Gaussian in closed form and the draws are
    right by construction: what looks wrong in a report of this file is the report.

    Args:
        path: The posterior file.
        shape: Rows and columns; at most about two thousand pixels.
        slices: How many.
        draws: Of every slice.
        components: Principal components to keep.
        noise_std: Of the measurement, in network units.
        seed: Of truth, noise and draws.
        overwrite: Replace a file that exists.

    Returns:
        ``path``.
    """
    prior, chosen = gaussian_field((1, *shape)), tuple(range(slices))
    truth = INTENSITY.to_file(prior.draw(SampleNoise(seed, [TRUTH_STREAM], slices=chosen))[0])
    mask = cartesian(shape, 2, 4, torch.Generator().manual_seed(seed))
    acquisition = acquire(
        MaskedFourier(mask, channels=1),
        truth.float().numpy(),
        noise_std=noise_std,
        intensity=INTENSITY,
        slices=chosen,
        seed=seed,
        scan=0,
    )
    posterior = prior.posterior(acquisition.problem(chosen))
    images = INTENSITY.to_file(posterior.draw(SampleNoise(seed, range(draws), slices=chosen)))
    plan = _plan(acquisition, truth.float().numpy(), draws, seed)
    with PosteriorWriter(path, plan, overwrite=overwrite) as writer:
        writer.write(range(draws), chosen, images.float().numpy(), nfe=0, wall_s=0.0)
        return writer.finish(writer.summarise(components=components))


def _plan(acquisition: Acquisition, truth: np.ndarray, draws: int, seed: int) -> PosteriorPlan:
    rows, columns = truth.shape[-2:]
    affine = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
    affine[:3, 3] = (-VOXEL * columns / 2, -VOXEL * rows / 2, 0)
    grid = Grid((columns, rows, len(truth)), affine)
    unchanged = Orientation((0, 1, 2), (False, False, False))
    operator = acquisition.operator
    return PosteriorPlan(
        placement=Placement(grid, grid, grid, grid, unchanged, (0, 0)),
        slices=acquisition.slices,
        draws=draws,
        channels=1,
        unit=INTENSITY.unit,
        seed=seed,
        fingerprint=f"example {seed}",
        operator=(operator.name, *operator.to_data()),
        y=(acquisition.axes, acquisition.y.numpy()),
        noise_std=acquisition.noise_std,
        mask=np.broadcast_to(_disc(rows, columns), (len(truth), rows, columns)),
        reference={"truth": truth, "zero_filled": acquisition.zero_filled().float().numpy()},
        scope={"in_scope": True, "findings": []},
        provenance={
            "pipeline": {
                "operator": {"name": operator.name, "options": {"acceleration": 2}},
                "method": {"name": "exact", "options": {}},
                "draws": draws,
                "seed": seed,
            },
            "prior": {"name": "Gaussian field"},
            "scan": {"name": "a draw of that prior"},
            "acquisition": "simulated from a draw of the prior",
        },
        title="Exact posterior of a Gaussian field",
    )


def _disc(rows: int, columns: int) -> np.ndarray:
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    return x**2 + y**2 < 0.9
