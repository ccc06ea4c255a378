"""The axial correlation that is fitted is the one that the volume has."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.front import (
    exact_inpainting,
    tiny_affine,
    tiny_pipeline,
    tiny_prior,
    tiny_scan,
    use_prior,
)
from uqrestore.noise import Coherence, CoherentNoise
from uqrestore.restoration.axial import fit_axial, variogram
from uqrestore.scans import Intensity, Scan, ScanError, Source, scan_from_array

SLICES = 400


def coherent_scan(length_mm: float, share: float, seed: int = 5) -> Scan:
    """Return a volume of the tiny prior's slices that agree over some length of the axis."""
    prior = tiny_prior()
    noise = CoherentNoise(
        seed, [0], coherence=Coherence(length_mm / 4, share), slices=range(SLICES)
    )
    latent = noise.normal((len(prior.factors),), torch.zeros(()))[0]
    images = prior.mean + torch.tensordot(latent, prior.factors, dims=1)
    # What the factors leave out follows the axis too, as that of the draws does.
    images = images + prior.tau**0.5 * noise.normal(prior.in_shape, torch.zeros(()))[0]
    voxels = (100 * (images[:, 0] + 1)).permute(2, 1, 0).contiguous().numpy()
    # Stripped voxels would be measured as black, which the prior excludes.
    inside = np.ones(voxels.shape, bool)
    scan = scan_from_array(voxels, tiny_affine(), source=Source("a.nii.gz"), mask=inside)
    return replace(scan, intensity=Intensity(100.0, 100.0))


def test_a_variogram_is_half_the_mean_square_step_where_both_slices_are_inside() -> None:
    volume = np.zeros((1, 4, 1, 2))
    volume[0, :, 0, 0] = [0.0, 2.0, 2.0, 5.0]
    volume[0, :, 0, 1] = 100.0 * np.arange(4)
    mask = np.zeros((4, 1, 2), bool)
    mask[:3, 0, 0] = True
    found = variogram(volume, mask, lags=5)
    np.testing.assert_allclose(found[:2], [0.5 * (4 + 0) / 2, 0.5 * 4])
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize(("length_mm", "share"), [(6.0, 1.0), (10.0, 0.7)])
def test_the_length_and_the_share_found_are_those_of_the_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length_mm: float, share: float
) -> None:
    use_prior(monkeypatch, tiny_prior())
    pipeline = exact_inpainting(tmp_path, 0.004, per_slice=False)
    lines: list[str] = []

    found = fit_axial(
        pipeline,
        [coherent_scan(length_mm, share)],
        lengths_mm=(0.0, 4.0, 8.0, 12.0, 16.0),
        draws=1,
        tell=lines.append,
    )

    assert found.reached
    one, other = Coherence(length_mm / 4, share), Coherence(found.axial_mm / 4, found.axial_share)
    for lag in (1.0, 2.0, 3.0):
        assert other.correlation(lag) == pytest.approx(one.correlation(lag), abs=0.15)
    assert (np.diff(found.ratio[:, 0]) < 0).all(), "longer is smoother"
    assert found.ratio[0, 0] > 1.2, "slices by themselves are too rough"
    assert (found.axial_share < 0.9) == (share < 1)
    np.testing.assert_allclose(found.ratio_found, 1, atol=0.1)
    assert len(lines) == 6
    assert "axial_mm 8: variogram / truth's" in lines[2]


def test_what_cannot_be_fitted_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_prior(monkeypatch, tiny_prior())
    pipeline = tiny_pipeline(tmp_path)
    with pytest.raises(ValueError, match="must rise from 0 or more"):
        fit_axial(pipeline, [tiny_scan()], lengths_mm=(4.0, 2.0))
    with pytest.raises(ScanError, match="has 3 slices with brain that are no stack"):
        fit_axial(pipeline, [tiny_scan()], slices=3)
