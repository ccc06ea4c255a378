"""Slices and draws in one call, and threads, change no result of a shipped pipeline."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.front import read
from tests.scans.rawfiles import coils, noise
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.pipeline import RestorePipeline, change, list_pipelines, load_pipeline
from uqrestore.pipeline.find import describe
from uqrestore.restoration.measure import acquire_slices
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.prepare import prepare_scan
from uqrestore.restoration.prior_cache import PriorCache
from uqrestore.restoration.restore import restore
from uqrestore.scans import (
    Input,
    RawScan,
    Scan,
    Source,
    demo_scan_path,
    read_scan,
    scan_from_array,
    scan_from_kspace,
)
from uqrestore.scans.kspace import to_kspace
from uqrestore.zoo import load_prior

DEMO = "brain-cs4-invfussion"
RESTORE = sorted(name for name, path in list_pipelines().items() if describe(path)[0] == "restore")
TOLERANCE = 1e-5
"""Largest difference, as a share of the range of the images."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def body() -> Scan:
    """A body with a lung and a bone that changes along z, in HU."""
    y, x, z = np.mgrid[-1:1:128j, -1:1:128j, 0:1:6j]
    inside = (x / 0.8) ** 2 + (y / 0.6) ** 2 < 1
    values = np.where(inside, 40.0, -1000.0)
    values[((x - 0.3) / 0.2) ** 2 + (y / 0.3 - z / 4) ** 2 < 1] = -850
    values[((x + 0.4) / 0.1) ** 2 + (y / 0.1) ** 2 < 1] = 700
    values += 15 * np.random.default_rng(0).normal(size=values.shape) * inside
    source = Source("ct.nii.gz", "NIfTI", space_code=1)
    return scan_from_array(values, np.diag([3.125, 3.125, 5.0, 1.0]), source=source)


def kspace_of(scan: Scan) -> RawScan:
    """Return k-space of four coils, every second line and the centre."""
    volume = scan.voxels.transpose(2, 1, 0)
    maps = coils((volume.shape[1], volume.shape[2]), 4)
    kspace = to_kspace(volume[:, None] * maps)
    kspace = kspace + noise(np.random.default_rng(0), kspace.shape, 0.01 * float(volume.max()))
    place = np.arange(volume.shape[2])
    mask = (place % 2 == 0) | (abs(place - volume.shape[2] // 2) < 8)
    return scan_from_kspace(kspace * mask, spacing=scan.spacing, affine=scan.affine, mask=mask)


def images(name: str, folder: Path, batch_size: int, slices: int, count: int = 1) -> np.ndarray:
    """Return two draws of each slice."""
    pipeline = change(load_pipeline(name, RestorePipeline), draws=2, components=0, baseline=None)
    scan: Input = body() if name.startswith("ct") else read_scan(demo_scan_path())
    if isinstance(scan, Scan) and pipeline.operator is None:
        scan = kspace_of(scan)
    resample = "crops" in str(pipeline.prior)
    options = RunOptions(slices=slices, batch_size=batch_size, resample=resample)
    with threads(count):
        out = restore(pipeline, scan, folder / f"{batch_size}-{count}.h5", options)
    return read(out, "posterior/image")


def test_the_linear_estimate_of_the_demo_is_that_of_every_slice_alone() -> None:
    pipeline = load_pipeline(DEMO, RestorePipeline)
    options = RunOptions(slices=7)
    prepared = prepare_scan(pipeline, read_scan(demo_scan_path()), options, PriorCache())
    problem = acquire_slices(pipeline, prepared).problem(prepared.slices)
    prior = load_prior(str(pipeline.prior))
    assert isinstance(prior, NetworkDenoiser)
    estimate: Any = prior.network.linear_guess
    alone = torch.cat([estimate(problem.select([i])) for i in range(7)])
    for size, count in ((3, 1), (7, 1), (7, 2)):
        with threads(count):
            parts = [estimate(problem.select(slice(i, i + size))) for i in range(0, 7, size)]
        assert (torch.cat(parts) - alone).abs().max() < TOLERANCE


def test_the_demo_is_the_same_in_any_batch_and_on_any_number_of_threads(tmp_path: Path) -> None:
    one = images(DEMO, tmp_path, batch_size=1, slices=4)
    for size, count in ((3, 1), (7, 2)):
        other = images(DEMO, tmp_path, size, slices=4, count=count)
        assert np.abs(one - other).max() < TOLERANCE * np.ptp(one), (size, count)


@pytest.mark.slow
@pytest.mark.parametrize("name", RESTORE)
def test_every_pipeline_is_the_same_in_any_batch_and_on_any_number_of_threads(
    name: str, tmp_path: Path
) -> None:
    one = images(name, tmp_path, batch_size=1, slices=2)
    for size, count in ((4, 1), (4, 2)):
        other = images(name, tmp_path, size, slices=2, count=count)
        assert np.abs(one - other).max() < TOLERANCE * np.ptp(one), (size, count)
