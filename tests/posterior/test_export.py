"""Exported maps lie where the scan lay."""

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib  # noqa: TID253
import numpy as np
import pytest
from nibabel.affines import apply_affine  # noqa: TID253

from tests.posterior.runs import images, plan, write_rest
from tests.scans.scenes import blob, rotation, scan
from uqrestore.posterior import (
    PosteriorError,
    PosteriorPlan,
    PosteriorWriter,
    Storage,
    export_array,
    export_dicom,
    export_nifti,
    open_posterior,
    read_operator,
    read_placement,
)
from uqrestore.posterior._hdf5 import byte_offset
from uqrestore.posterior.example import example_plan
from uqrestore.scans import fit_to_model


def oblique() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation((0.1, -0.2, 0.3)) @ np.diag([-1.5, 1.5, 2.0])
    affine[:3, 3] = (30, -20, 10)
    return affine[:, [1, 0, 2, 3]]


def scanned(*, resample: bool, channels: int = 1) -> PosteriorPlan:
    one = scan(blob((26, 30, 7)), oblique())
    size = 3.0 if resample else None
    slices = fit_to_model(one, (32, 32), voxel_size=size, resample=resample)
    return plan(
        placement=slices.placement,
        slices=(1, 2, 5),
        channels=channels,
        y=(("z",), np.ones(3)),
    )


def load(path: Path) -> Any:  # noqa: ANN401  (nibabel is typed loosely)
    return nib.Nifti1Image.from_filename(path)


def written(
    folder: Path, of: PosteriorPlan, storage: Storage | None = None, *, components: int = 2
) -> Path:
    with PosteriorWriter(folder / "brain.posterior.h5", of) as writer:
        write_rest(writer)
        summary = writer.summarise(components=components, quantiles=(0.1, 0.9))
        return writer.finish(summary, storage=storage)


def test_maps_on_the_models_grid_have_its_affine(tmp_path: Path) -> None:
    of = scanned(resample=False)
    paths = export_nifti(written(tmp_path, of), tmp_path / "maps", maps=("mmse", "pc", "quantile"))
    names = ["brain_mmse.nii.gz", "brain_pc.nii.gz", "brain_quantile.nii.gz"]
    assert [path.name for path in paths] == names
    mmse, pc, quantile = (load(path) for path in paths)
    np.testing.assert_allclose(mmse.affine, of.placement.model.affine, atol=1e-4)
    assert pc.shape == (*of.placement.model.shape, 2)
    assert quantile.shape == (*of.placement.model.shape, 2)
    values = mmse.get_fdata()
    wanted = images(of, [0, 1, 2, 3, 4], [2]).mean(axis=0)[0, 0].T
    np.testing.assert_allclose(values[:, :, 2], wanted, rtol=1e-5)
    assert np.isnan(values[:, :, [0, 3, 4, 6]]).all(), "what was not restored is not 0"


def test_all_draws_are_one_file_whose_last_axis_is_the_draw(tmp_path: Path) -> None:
    of = scanned(resample=False)
    (path,) = export_nifti(written(tmp_path, of), tmp_path / "maps", maps=("draws",))
    file = load(path)
    assert path.name == "brain_draws.nii.gz"
    np.testing.assert_allclose(file.affine, of.placement.model.affine, atol=1e-4)
    assert file.shape == (*of.placement.model.shape, of.draws)
    values = file.get_fdata()
    wanted = images(of, [3], [2])[0, 0, 0].T
    np.testing.assert_allclose(values[:, :, 2, 3], wanted, rtol=1e-5)
    assert np.isnan(values[:, :, [0, 3, 4, 6]]).all(), "what was not restored is not 0"


def test_without_resampling_native_maps_are_the_same_values(tmp_path: Path) -> None:
    of = scanned(resample=False)
    path = written(tmp_path, of)
    native = load(export_nifti(path, tmp_path, maps=("std",), native=True)[0])
    np.testing.assert_allclose(native.affine, oblique(), atol=1e-4)
    assert native.shape == (26, 30, 7)
    model = load(export_nifti(path, tmp_path / "model", maps=("std",))[0])
    known = np.argwhere(np.isfinite(native.get_fdata()))
    place = apply_affine(native.affine, known)
    index = apply_affine(np.linalg.inv(model.affine), place)
    np.testing.assert_allclose(index, np.round(index), atol=1e-3)
    at = tuple(np.round(index).astype(int).T)
    np.testing.assert_array_equal(model.get_fdata()[at], native.get_fdata()[tuple(known.T)])
    assert len(known) == 3 * 26 * 30


def test_a_resampled_std_is_that_of_resampled_draws(tmp_path: Path) -> None:
    of = scanned(resample=True)
    path = written(tmp_path, of)
    std = load(export_nifti(path, tmp_path, maps=("std",), native=True)[0]).get_fdata()
    placement = read_placement(path)
    with open_posterior(path) as tree:
        draws = np.asarray(tree["posterior/image"])[0]
    volumes = np.full((len(draws), *placement.model.shape), np.nan, np.float32)
    volumes[..., list(of.slices)] = draws.transpose(0, 3, 2, 1)
    native = np.stack([placement.to_native(volume) for volume in volumes])
    wanted = native.std(axis=0, ddof=1)
    np.testing.assert_allclose(std, wanted, rtol=1e-4)
    assert np.isfinite(std).sum() > 1000
    # Averaging neighbours lowers the spread: an interpolated map of std would be too large.
    assert np.nanmean(std) < 4.6
    with pytest.raises(PosteriorError, match=r"quantiles cannot be interpolated .*--model-grid"):
        export_nifti(path, tmp_path, maps=("quantile",), native=True)


@pytest.mark.parametrize("keep", ["thin", "none"])
def test_a_resampled_std_of_some_draws_is_refused(keep: str, tmp_path: Path) -> None:
    of = dataclasses.replace(scanned(resample=True), draws=12)
    path = written(tmp_path, of, Storage(keep=keep))
    for export in (export_nifti, lambda *a, **_: export_array(a[0], tmp_path / "a.npz")):
        with pytest.raises(PosteriorError, match=r"keeps \d of its 12 draws.*--model-grid"):
            export(path, tmp_path, maps=("std",), native=True)
    export_nifti(path, tmp_path / "mean", maps=("mmse",), native=True)
    export_nifti(path, tmp_path / "model", maps=("std",))


@pytest.mark.parametrize("keep", ["thin", "none"])
def test_without_resampling_the_std_is_of_all_draws_whatever_is_kept(
    keep: str, tmp_path: Path
) -> None:
    of = dataclasses.replace(scanned(resample=False), draws=12)
    stds = []
    for storage in (Storage(), Storage(keep=keep)):
        (tmp_path / storage.keep).mkdir()
        path = written(tmp_path / storage.keep, of, storage)
        (std,) = export_nifti(path, path.parent, maps=("std",), native=True)
        stds.append(load(std).get_fdata())
    np.testing.assert_array_equal(*stds)


def test_a_resampled_std_of_rounded_draws_is_right_or_refused(tmp_path: Path) -> None:
    of, stds = scanned(resample=True), {}
    for bits in (None, 10, 3):  # values are near 50 and their spread 5
        (tmp_path / str(bits)).mkdir()
        path = written(tmp_path / str(bits), of, Storage(keepbits=bits))
        if bits == 3:
            with pytest.raises(PosteriorError, match="rounded too far"):
                export_nifti(path, path.parent, maps=("std",), native=True)
        else:
            (std,) = export_nifti(path, path.parent, maps=("std",), native=True)
            stds[bits] = load(std).get_fdata()
    known = np.isfinite(stds[None])
    error = np.linalg.norm((stds[10] - stds[None])[known]) / np.linalg.norm(stds[None][known])
    assert 0 < error < 0.01


def test_a_file_without_components_is_exported_too(tmp_path: Path) -> None:
    paths = export_nifti(written(tmp_path, plan(), components=0), tmp_path)
    assert [path.name for path in paths] == ["brain_mmse.nii.gz", "brain_std.nii.gz"]


def test_a_damaged_file_is_not_exported(tmp_path: Path) -> None:
    path = written(tmp_path, plan())
    with h5py.File(path) as file:
        place = byte_offset(file["estimate/pc_std"])
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))
    for export in (
        lambda: export_nifti(path, tmp_path),
        lambda: export_array(path, tmp_path / "a.npz"),
        lambda: export_dicom(path, tmp_path),
    ):
        with pytest.raises(PosteriorError, match="a byte has changed"):
            export()
    assert list(tmp_path.iterdir()) == [path]


def test_every_channel_has_its_file(tmp_path: Path) -> None:
    paths = export_nifti(
        written(tmp_path, scanned(resample=True, channels=2)), tmp_path, maps=("std",), native=True
    )
    assert [path.name for path in paths] == [
        "brain_std_channel0.nii.gz",
        "brain_std_channel1.nii.gz",
    ]
    first, second = (load(path).get_fdata() for path in paths)
    assert not np.array_equal(first[np.isfinite(first)], second[np.isfinite(second)])


def test_an_export_overwrites_nothing_unasked(tmp_path: Path) -> None:
    path = written(tmp_path, plan())
    [written_map] = export_nifti(path, tmp_path, maps=("mmse",))
    before = written_map.stat().st_mtime_ns
    assert export_nifti(path, tmp_path, maps=("mmse",)) == [written_map], "the same map is there"
    assert written_map.stat().st_mtime_ns == before
    image = load(written_map)
    for other in (nib.Nifti1Image(image.get_fdata() + 1, image.affine), None):
        if other is None:
            written_map.write_text("of the user")
        else:
            nib.save(other, written_map)
        with pytest.raises(PosteriorError, match="exists already"):
            export_nifti(path, tmp_path, maps=("mmse",))
    export_nifti(path, tmp_path, maps=("mmse",), overwrite=True)
    np.testing.assert_array_equal(load(written_map).get_fdata(), image.get_fdata())


def test_unknown_maps_and_unfinished_files_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, plan())
    with pytest.raises(PosteriorError, match="no map 'sdt'; it can be mmse, std"):
        export_nifti(path, tmp_path, maps=("sdt",))
    with PosteriorWriter(tmp_path / "b.h5", plan()) as writer:
        writer.write([0], [0], images(plan(), [0], [0]))
    with pytest.raises(PosteriorError, match="is not finished"):
        export_nifti(tmp_path / "b.h5.part", tmp_path)


def test_the_operator_is_rebuilt_from_the_file(tmp_path: Path) -> None:
    import torch

    from uqrestore.operators import MaskedFourier

    mask = torch.rand(3, 7, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    operator = MaskedFourier(mask)
    of = example_plan(draws=5)
    path = written(tmp_path, plan(operator=(operator.name, *operator.to_data()), y=of.y))
    again = read_operator(path)
    x = torch.rand(3, *operator.in_shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(again(x), operator(x))


@pytest.mark.parametrize("what", ["missing", "folder", "text", "other hdf5"])
def test_what_is_no_posterior_file_is_refused_in_one_line(what: str, tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "a.h5"
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("text")
    elif what == "other hdf5":
        h5py.File(path, "w").close()
    for function in (open_posterior, read_operator, read_placement):
        with pytest.raises(PosteriorError, match=r"a\.h5: ") as caught:
            function(path)
        assert "\n" not in str(caught.value)
