"""A finished output is that of the same run only if every setting and every input is the same."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import uqrestore as uq
from tests.front import tiny_pipeline, tiny_prior, tiny_scan, tiny_voxels, use_prior, write_scan
from tests.scans.rawfiles import write_ismrmrd
from uqrestore.posterior import PosteriorError, Storage
from uqrestore.restoration.finished import is_made
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore
from uqrestore.scans import RawScan, read_input, undersampled


@pytest.fixture(autouse=True, scope="module")
def _tiny_zoo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_prior(monkeypatch, tiny_prior())
        yield


def test_every_setting_counts_but_those_that_change_nothing(tmp_path: Path) -> None:
    plan, out = tiny_pipeline(tmp_path), tmp_path / "a.posterior.h5"
    scan = read_input(write_scan(tmp_path / "s.nii.gz"))
    options = RunOptions(slices=2)
    assert not is_made(out, plan, scan, options)
    restore(plan, scan, out, options)

    assert is_made(out, plan, scan, options)
    assert is_made(out, plan, scan, replace(options, batch_size=1, memory=2**30, allow_gaps=True))
    for other in (
        replace(options, slices=1),
        replace(options, slices=[1, 2]),
        replace(options, resample=True),
        replace(options, storage=Storage("none")),
        replace(options, storage=Storage("all", 7)),
    ):
        assert not is_made(out, plan, scan, other), other
    assert not is_made(out, plan.model_copy(update={"seed": 1}), scan, options)
    brighter = read_input(write_scan(tmp_path / "s.nii.gz", 2 * tiny_voxels()))
    assert not is_made(out, plan, brighter, options)


def test_arrays_are_never_taken_for_the_same(tmp_path: Path) -> None:
    plan, out = tiny_pipeline(tmp_path), tmp_path / "a.posterior.h5"
    restore(plan, tiny_scan(), out, RunOptions(slices=1))

    assert not is_made(out, plan, tiny_scan(), RunOptions(slices=1))
    with pytest.raises(PosteriorError, match="exists already"):
        restore(plan, tiny_scan(), out, RunOptions(slices=1))


def test_the_same_call_in_python_opens_what_is_there(tmp_path: Path) -> None:
    scan, out = write_scan(tmp_path / "s.nii.gz"), tmp_path / "a.posterior.h5"
    plan, calls = tiny_pipeline(tmp_path), []
    first = uq.restore(scan, plan, out=out, slices=1)
    again = uq.restore(scan, plan, out=out, slices=1, progress=calls.append)

    assert calls == []
    np.testing.assert_array_equal(first.mean, again.mean)
    with pytest.raises(PosteriorError, match="exists already"):
        uq.restore(scan, plan, out=out, slices=1, seed=1)
    with pytest.raises(PosteriorError, match="exists already"):
        uq.restore(uq.read_scan(scan), plan, out=out, slices=2)


def test_samples_kept_and_reference_belong_to_the_input(tmp_path: Path) -> None:
    y, x = np.mgrid[-1:1:24j, -1:1:20j]
    image = np.where(x**2 + y**2 < 0.6, 100 + 30 * np.cos(5 * x), 0)[..., None]
    affine, every = np.diag([1.5, 1.5, 3.0, 1.0]), np.ones(20, bool)
    full = [
        write_ismrmrd(tmp_path / f"{i}.mrd", (1 + i) * image, affine, every, 0.5, 4)
        for i in range(2)
    ]
    raw = read_input(full[0])
    assert isinstance(raw, RawScan)
    rows, columns = raw.shape
    masks = [np.broadcast_to(np.arange(columns) % n != 1, (rows, columns)) for n in (3, 4)]
    names = {raw.scan.identity, *(undersampled(raw, mask).scan.identity for mask in masks)}
    assert len(names) == 3
    compared = [read_input(full[0], reference=path) for path in full]
    known = [scan.source.reference_sha256 for scan in compared]
    assert len({"", *known}) == 3
    assert compared[0].source.sha256 == raw.source.sha256
