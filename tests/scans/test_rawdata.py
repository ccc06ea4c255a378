"""Raw k-space in: every voxel at its place, the noise as it was, refusals in one line."""

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.scans.rawfiles import write_fastmri, write_ismrmrd, write_radial
from tests.scans.scenes import blob, rotation
from uqrestore.scans import RadialScan, RawScan, ScanError, read_input, read_scan
from uqrestore.scans.kspace import to_image
from uqrestore.scans.radial import gridded

SHAPE = (8, 7, 3)


def tilted(axes: tuple[int, int, int], flips: tuple[int, int, int]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation((0.2, -0.15, 0.1))[:, axes] * flips * np.asarray([2.0, 3.0, 4.0])
    affine[:3, 3] = (-20, 31, 7)
    return affine


def read(path: Path) -> RawScan:
    scan = read_input(path)
    assert isinstance(scan, RawScan)
    return scan


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_every_voxel_lies_where_it_lay(
    axes: tuple[int, int, int], flips: tuple[int, int, int], tmp_path: Path
) -> None:
    images = np.arange(1, np.prod(SHAPE) + 1, dtype=np.float64).reshape(SHAPE)
    affine = tilted(axes, flips)
    path = write_ismrmrd(tmp_path / "a.mrd", images, affine, np.ones(7, bool), std=2e-4)

    scan = read(path).scan

    order = np.argsort(scan.voxels, axis=None)
    index = np.stack(np.unravel_index(order, scan.voxels.shape), axis=-1)
    wanted = np.stack(np.unravel_index(np.arange(images.size), SHAPE), axis=-1)
    wanted = wanted @ affine[:3, :3].T + affine[:3, 3]
    np.testing.assert_allclose(scan.grid.position(index.astype(float)), wanted, atol=1e-3)
    np.testing.assert_allclose(np.sort(scan.voxels, axis=None), images.ravel(), atol=1e-3)
    assert scan.shape[2] == SHAPE[2]  # slices stay whole
    assert scan.grid.directions == {0: "ASR", 1: "RSA", 2: "RAS"}[axes[2]]


def test_turned_samples_are_those_of_the_turned_image(tmp_path: Path) -> None:
    images = blob((16, 15, 2))
    lines = np.random.default_rng(0).random(15) < 0.6
    path = write_ismrmrd(tmp_path / "a.mrd", images, tilted((1, 0, 2), (-1, 1, -1)), lines, 1e-4, 3)

    raw = read(path)

    magnitude = np.sqrt((np.abs(to_image(raw.samples)) ** 2).sum(1)).transpose(2, 1, 0)
    np.testing.assert_allclose(magnitude, raw.scan.voxels, atol=1e-4)
    assert (raw.samples[..., ~raw.sampled] == 0).all()
    assert raw.sampled.mean() == pytest.approx(lines.mean())
    assert (np.abs(raw.samples[..., raw.sampled]).min() > 0).all()


@pytest.mark.parametrize("noise_scan", [True, False])
def test_the_noise_is_found_per_real_component(noise_scan: bool, tmp_path: Path) -> None:
    smooth = np.exp(-((np.mgrid[-2:2:48j, -2:2:48j, 0:1:3j][:2]) ** 2).sum(0)) * 100
    path = write_ismrmrd(
        tmp_path / "a.mrd", smooth, tilted((0, 1, 2), (1, 1, 1)), np.ones(48, bool), 2.0, 4,
        noise_scan=noise_scan,
    )  # fmt: skip

    raw = read(path)

    assert raw.noise_std == pytest.approx(2.0, rel=0.05)
    scan = "noise scan, coils whitened by its covariance"
    assert raw.noise.source == (
        scan
        if noise_scan
        else "object-free rim of the field of view, coils whitened by its covariance"
    )


def test_coils_are_whitened_by_the_noise_scan(tmp_path: Path) -> None:
    mixing = np.asarray([[3, 0, 0], [2j, 1, 0], [0.5, -1, 0.4]])
    dark = np.zeros((32, 32, 2))
    dark[16, 16] = 1e-6
    path = write_ismrmrd(
        tmp_path / "a.mrd", dark, tilted((0, 1, 2), (1, 1, 1)), np.ones(32, bool), 0.7, 3,
        mixing=mixing,
    )  # fmt: skip

    raw = read(path)

    coils = raw.samples.swapaxes(0, 1).reshape(3, -1)
    found = coils @ coils.conj().T / coils.shape[1]
    power = 2 * 0.7**2 * np.real(np.trace(mixing @ mixing.conj().T)) / 3
    np.testing.assert_allclose(found, power * np.eye(3), atol=0.12 * power)
    assert 2 * raw.noise_std**2 == pytest.approx(power, rel=0.05)
    assert raw.noise.mixing is not None
    acquired = raw.noise.mixing @ coils
    found = acquired @ acquired.conj().T / acquired.shape[1]
    wanted = 2 * 0.7**2 * mixing @ mixing.conj().T
    np.testing.assert_allclose(found, wanted, atol=0.12 * np.abs(wanted).max())


def test_fastmri_files_lose_their_oversampling_and_the_name_in_them(tmp_path: Path) -> None:
    images = blob((14, 12, 3)).transpose(2, 1, 0)
    raw = read(write_fastmri(tmp_path / "a.h5", images, np.ones(14, bool), 1e-3))

    assert raw.samples.shape == (3, 6, 12, 14)
    assert raw.scan.spacing == pytest.approx((3, 3, 3))
    assert "Jane" not in repr(raw.source)
    # Row 0 of the file is anterior, column 0 the right: both turn.
    seen = raw.scan.voxels.transpose(2, 1, 0)[:, ::-1, ::-1]
    assert np.corrcoef(seen[1].ravel(), images[1].ravel())[0, 1] > 0.7


def test_coarser_pixels_are_lower_frequencies_of_the_same_tissue(tmp_path: Path) -> None:
    y, x = np.mgrid[-2:2:32j, -2:2:32j]
    images = np.repeat(100 * np.exp(-(x**2 + y**2))[None], 2, axis=0)
    raw = read(write_fastmri(tmp_path / "a.h5", images, np.ones(32, bool), 1e-3))

    coarse = raw.at(6.0)

    assert coarse.samples.shape[-2:] == (16, 16)
    assert coarse.scan.spacing == pytest.approx((6, 6, 3))
    assert coarse.scan.voxels.max() == pytest.approx(raw.scan.voxels.max(), rel=0.02)
    brightest = [
        s.grid.position(np.asarray(np.unravel_index(s.voxels.argmax(), s.shape), float))
        for s in (raw.scan, coarse.scan)
    ]
    assert np.abs(brightest[0] - brightest[1])[:2].max() <= 3
    with pytest.raises(ScanError, match="cannot be brought to pixels"):
        raw.at(13.0)


def test_finer_pixels_have_outer_frequencies_that_were_not_measured(tmp_path: Path) -> None:
    y, x = np.mgrid[-2:2:31j, -2:2:32j]
    images = np.repeat(100 * np.exp(-2 * (x**2 + y**2))[None], 2, axis=0)
    raw = read(write_fastmri(tmp_path / "a.h5", images, np.ones(32, bool), 1e-3))

    fine = raw.at(1.5)

    assert fine.samples.shape[-2:] == (62, 64)
    assert fine.scan.spacing == pytest.approx((1.5, 1.5, 3))
    assert fine.sampled.sum() == raw.sampled.sum()
    assert (fine.samples[..., ~fine.sampled] == 0).all()
    assert fine.scan.voxels.max() == pytest.approx(raw.scan.voxels.max(), rel=0.02)
    back = fine.at(3.0)
    np.testing.assert_allclose(back.samples, raw.samples, atol=1e-3)
    np.testing.assert_allclose(back.scan.affine, raw.scan.affine, atol=1e-6)


def read_radial(path: Path) -> RadialScan:
    scan = read_input(path)
    assert isinstance(scan, RadialScan)
    return scan


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_spokes_are_turned_with_their_image(
    axes: tuple[int, int, int], flips: tuple[int, int, int], tmp_path: Path
) -> None:
    images = np.zeros((16, 13, 2))
    images[4:7, 3:5] = 100
    affine = tilted(axes, flips)
    raw = read_radial(write_radial(tmp_path / "a.mrd", images, affine, 40, std=3e-4))

    values = np.maximum(raw.scan.voxels - 20, 0)
    index = np.moveaxis(np.indices(values.shape), 0, -1).reshape(-1, 3)
    middle = np.average(raw.scan.grid.position(index.astype(float)), 0, values.ravel())
    wanted = (affine @ [5, 3.5, 0.5, 1])[:3]
    np.testing.assert_allclose(middle, wanted, atol=0.25)
    again = gridded(raw.samples, raw.points, raw.shape, "")[:, 0]
    np.testing.assert_allclose(
        np.abs(again).transpose(2, 1, 0), raw.scan.voxels, atol=0.02 * raw.scan.voxels.max()
    )


def test_larger_pixels_leave_out_outer_samples_of_spokes(tmp_path: Path) -> None:
    images = 100 * np.repeat(np.exp(-((np.mgrid[-2:2:32j, -2:2:32j]) ** 2).sum(0))[..., None], 2, 2)
    raw = read_radial(
        write_radial(tmp_path / "a.mrd", images, np.diag([3.0, 3, 3, 1]), 60, 1e-3, 3)
    )
    coarse = raw.at(6.0)
    assert coarse.shape == (16, 16)
    assert coarse.scan.spacing == pytest.approx((6, 6, 3))
    assert 0.3 < coarse.samples.shape[-1] / raw.samples.shape[-1] < 0.7
    assert coarse.scan.voxels.max() == pytest.approx(raw.scan.voxels.max(), rel=0.1)
    assert raw.noise.source == "noise scan, coils whitened by its covariance"
    assert coarse.noise_std == pytest.approx(raw.noise_std / 2, rel=1e-6)
    with pytest.raises(ScanError, match="cannot be brought to pixels of 13 mm"):
        raw.at(13.0)


def test_what_cannot_be_restored_is_refused_in_one_line(tmp_path: Path) -> None:
    images, affine, lines = blob(SHAPE), tilted((0, 1, 2), (1, 1, 1)), np.ones(7, bool)
    spiral = write_ismrmrd(tmp_path / "s.mrd", images, affine, lines, 0.1, trajectory="spiral")
    whole = write_ismrmrd(tmp_path / "w.mrd", images, affine, lines, 0.1)
    with pytest.raises(ScanError, match="is raw k-space, not an image"):
        read_scan(whole)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = 1
    with h5py.File(tmp_path / "zero.h5", "w") as file:
        file["kspace"] = np.zeros((1, 2, 8, 8), np.complex64)
        file["ismrmrd_header"] = "<ismrmrdHeader/>"
    (tmp_path / "cut.h5").write_bytes(spiral.read_bytes()[:3000])
    for path, words in (
        (spiral, "trajectory is spiral; only Cartesian and radial"),
        (tmp_path / "other.h5", "neither fastMRI's 'kspace' nor an ISMRMRD"),
        (tmp_path / "zero.h5", "states no encoding"),
        (tmp_path / "cut.h5", "is not HDF5, or is damaged"),
    ):
        with pytest.raises(ScanError, match=words) as caught:
            read_input(path)
        assert "\n" not in str(caught.value)
