"""3-D Cartesian k-space: every voxel at its place, slices along the readout, noise unchanged."""

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.scans.rawfiles import write_volume
from tests.scans.test_rawdata import read, tilted
from uqrestore.scans import ScanError
from uqrestore.scans.kspace import to_image
from uqrestore.scans.readout import decode_readout

SHAPE = (6, 9, 8)  # readout, phase, partition
UPRIGHT = tilted((0, 1, 2), (1, 1, 1))


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_every_voxel_lies_where_it_lay(axes: tuple[int, int, int], tmp_path: Path) -> None:
    image = np.arange(1, np.prod(SHAPE) + 1, dtype=np.float64).reshape(SHAPE)
    affine = tilted(axes, (1, 1, 1))
    whole = np.ones((SHAPE[2], SHAPE[1]), bool)

    scan = read(write_volume(tmp_path / "a.mrd", image, affine, whole, 1e-3)).scan

    index = np.stack(np.unravel_index(np.argsort(scan.voxels, axis=None), scan.voxels.shape), -1)
    place = np.stack(np.unravel_index(np.arange(image.size), SHAPE), axis=-1)
    wanted = place @ affine[:3, :3].T + affine[:3, 3]
    np.testing.assert_allclose(scan.grid.position(index.astype(float)), wanted, atol=1e-3)
    np.testing.assert_allclose(np.sort(scan.voxels, axis=None), image.ravel(), atol=0.02)
    assert scan.shape[2] == SHAPE[0]  # slices follow one another along the readout
    assert scan.grid.directions[2] == "RAS"[axes[0]]


def test_samples_of_both_phase_encodings_are_kept_and_the_noise_stays(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sampled = rng.random((16, 20)) < 0.4
    sampled[6:10, 8:12] = True
    image = np.zeros((24, 20, 16))
    image[7:15, 5:14, 4:12] = 50.0
    raw = read(write_volume(tmp_path / "a.mrd", image, UPRIGHT, sampled, 2.0, 4))
    assert raw.samples.shape[:2] == (24, 4)
    assert sorted(raw.samples.shape[2:]) == [16, 20]
    assert raw.sampled.sum() == sampled.sum()
    assert raw.noise_std == pytest.approx(2.0, rel=0.05)
    edge = raw.samples[:3][..., raw.sampled]  # slices without object hold noise alone
    assert np.std(np.real(edge)) == pytest.approx(2.0, rel=0.05)
    seen = np.sqrt((np.abs(to_image(raw.samples)) ** 2).sum(1)).transpose(2, 1, 0)
    np.testing.assert_allclose(seen, raw.scan.voxels, atol=1e-3)


def test_lines_measured_in_part_and_foreign_partitions_are_refused(tmp_path: Path) -> None:
    sampled = np.ones((3, 5, 8), bool)
    sampled[1, 2, :3] = False
    with pytest.raises(ScanError, match="3 of 8 samples of its lines were not measured"):
        decode_readout(np.ones((3, 2, 5, 8), complex), sampled, 4, "a.mrd")
    path = write_volume(tmp_path / "a.mrd", np.ones(SHAPE), UPRIGHT, np.ones((8, 9), bool), 0.1)
    with h5py.File(path, "r+") as file:
        stored = file["dataset/data"]
        assert isinstance(stored, h5py.Dataset)
        lines = stored[...]
        lines["head"]["idx"]["kspace_encode_step_2"] += 3
        stored[...] = lines
    with pytest.raises(ScanError, match="steps 3 to 10 of the second phase encoding do not fit"):
        read(path)
