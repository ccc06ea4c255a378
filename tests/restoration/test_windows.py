"""A prior of windows restores slices of any size; any other prior says what to do instead."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.front import (
    COLUMNS,
    ROWS,
    VOXEL_MM,
    read,
    tiny_affine,
    tiny_pipeline,
    tiny_prior,
    tiny_scan,
    tiny_voxels,
    use_prior,
)
from tests.scans.rawfiles import write_ismrmrd
from uqrestore.pipeline import RestorePipeline, load_pipeline
from uqrestore.posterior import open_posterior, validate
from uqrestore.priors import LowRankGaussian
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore
from uqrestore.scans import ScanError, demo_scan_path, read_input, read_scan
from uqrestore.zoo import load_card

WINDOW = (12, 10)


def windows_of_the_tiny_prior() -> LowRankGaussian:
    """Return the prior of the windows in the middle of the tiny prior's images."""
    whole = tiny_prior()
    cut = (..., slice(3, 3 + WINDOW[0]), slice(2, 2 + WINDOW[1]))
    return LowRankGaussian(whole.mean[cut], whole.factors[cut].contiguous(), tau=0.01)


def use(monkeypatch: pytest.MonkeyPatch, **card: object) -> None:
    use_prior(monkeypatch, windows_of_the_tiny_prior(), **card)


def test_a_slice_larger_than_the_prior_is_restored_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, windows_of=[ROWS, COLUMNS])
    pipeline = tiny_pipeline(tmp_path, baseline=None)

    out = restore(pipeline, tiny_scan(), tmp_path / "o.h5")

    assert validate(out) == []
    assert read(out, "posterior/image").shape[-2:] == (ROWS, COLUMNS)
    assert read(out, "sample_stats/residual").max() < 1e-4, "the operator saw the whole slice"
    with open_posterior(out) as tree:
        assert "in 4 windows of 12 x 10, blended" in tree.attrs["provenance"]


def test_one_method_call_sees_the_same_slice_whatever_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, windows_of=[ROWS, COLUMNS])
    pipeline = tiny_pipeline(tmp_path, baseline=None)
    files = [
        restore(
            pipeline, tiny_scan(), tmp_path / f"{n}.h5", RunOptions(slices=[1, 2], batch_size=n)
        )
        for n in (1, 12)
    ]
    one, other = (read(file, "posterior/image") for file in files)
    assert np.abs(one - other).max() < 1e-5 * np.ptp(one)


def test_raw_k_space_of_a_slice_larger_than_the_prior_is_restored_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, windows_of=[ROWS, COLUMNS])
    lines = np.ones(ROWS, bool)
    lines[[1, 4, ROWS - 3]] = False
    voxels, noise = tiny_voxels(), 1.0
    path = write_ismrmrd(tmp_path / "a.mrd", voxels, tiny_affine(), lines, noise, 3)
    pipeline = tiny_pipeline(
        tmp_path, baseline=None, operator=None, method={"name": "moment_matching"}
    )

    out = restore(pipeline, read_input(path), tmp_path / "o.h5", RunOptions(slices=[2]))

    assert validate(out) == []
    mean, zero = read(out, "estimate/mmse")[0], read(out, "reference/zero_filled")[0]
    truth = voxels[..., 2].T
    inside = truth > 0
    assert mean.shape == truth.shape == (ROWS, COLUMNS)
    assert np.square(mean - truth)[inside].mean() < np.square(zero - truth)[inside].mean()
    with open_posterior(out) as tree:
        assert "in 4 windows of 12 x 10, blended" in tree.attrs["provenance"]


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({}, r"its brain region is .* a model of larger pixels or of windows"),
        (
            {"windows_of": [ROWS, COLUMNS], "voxel_size": [1.5, 1.5]},
            rf"its pixels are {VOXEL_MM:g} x {VOXEL_MM:g} mm but the model's are 1.5 mm; "
            "pass --resample",
        ),
    ],
)
def test_what_the_card_does_not_state_is_refused(
    card: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, **card)
    with pytest.raises(ScanError, match=message):
        restore(tiny_pipeline(tmp_path, baseline=None), tiny_scan(), tmp_path / "o.h5")


def test_a_scan_smaller_than_a_window_is_padded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_prior(monkeypatch, bigger(), windows_of=[40, 40])

    out = restore(tiny_pipeline(tmp_path, baseline=None), tiny_scan(), tmp_path / "o.h5")

    assert read(out, "posterior/image").shape[-2:] == (20, COLUMNS)


def bigger() -> LowRankGaussian:
    """Return a prior of windows with more rows than the tiny scan, and fewer columns."""
    factors = tiny_prior().factors
    grown = torch.nn.functional.pad(factors, (0, 0, 1, 2))[..., :10].contiguous()
    return LowRankGaussian(torch.full((1, 20, 10), -0.2), grown, tau=0.01)


def test_the_prior_of_windows_that_ships_refuses_pixels_that_it_does_not_know(
    tmp_path: Path,
) -> None:
    pipeline = load_pipeline("brain-crops-cs4", RestorePipeline)
    card = load_card(str(pipeline.prior))
    assert card.windows_of == (128, 128)
    assert card.voxel_size == (1.5, 1.5)
    with pytest.raises(ScanError, match=r"the model.s are 1.5 mm; pass --resample"):
        restore(pipeline, read_scan(demo_scan_path()), tmp_path / "o.h5", RunOptions(slices=1))
