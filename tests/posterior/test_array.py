"""Results as plain arrays: the order and the matrix of what was given."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.posterior.runs import images, plan, write_rest
from tests.posterior.test_export import load, scanned, written
from uqrestore.operators import CoilFourier, Embedding
from uqrestore.posterior import PosteriorError, PosteriorWriter, export_array, export_nifti, inspect
from uqrestore.posterior.example import example_plan


def test_arrays_of_an_image_are_those_of_its_nifti_export(tmp_path: Path) -> None:
    path = written(tmp_path, scanned(resample=True))
    arrays = np.load(export_array(path, tmp_path / "a.npz"))
    for name, variable in (("mean", "mmse"), ("std", "std")):
        (file,) = export_nifti(path, tmp_path, maps=(variable,), native=True)
        np.testing.assert_array_equal(arrays[name], load(file).get_fdata().astype(np.float32))
        np.testing.assert_allclose(arrays["affine"], load(file).affine, atol=1e-4)
    samples = arrays["samples"]
    assert samples.shape == (5, 26, 30, 7)
    np.testing.assert_allclose(samples.mean(axis=0), arrays["mean"], rtol=1e-5)
    np.testing.assert_allclose(samples.std(axis=0, ddof=1), arrays["std"], rtol=1e-4)
    assert set(arrays) == {"affine", "mean", "std", "samples"}


def kspace_run(folder: Path, *, embedded: bool) -> tuple[Path, np.ndarray]:
    """Write the result of k-space of 7 x 6 (or, cut to it, 9 x 8) with a phase."""
    of = example_plan(draws=3)
    size = (3, 9, 8) if embedded else (3, 7, 6)
    generator = torch.Generator().manual_seed(0)
    phase = 6 * torch.rand(size, generator=generator) - 3
    maps = torch.ones(3, 1, *size[1:], dtype=torch.complex64)
    operator = CoilFourier(torch.ones(size, dtype=torch.bool), maps=maps, phase=phase)
    if embedded:
        operator = operator @ Embedding((1, 7, 6), field_shape=(9, 8), offset=(1, 1))
        phase = phase[:, 1:8, 1:7]
    placement = dataclasses.replace(of.placement, source_format="k-space")
    y = np.zeros((3, 2, 1, *size[1:]), np.float32)
    changed = plan(
        draws=3,
        placement=placement,
        operator=(operator.name, *operator.to_data()),
        y=(("z", "ri", "coil", "ky", "kx"), y),
        reference={"zero_filled": images(of, [7], [0, 2, 3])[0]},
    )
    with PosteriorWriter(folder / "raw.posterior.h5", changed) as writer:
        write_rest(writer)
        return writer.finish(writer.summarise(components=0)), phase.numpy()


@pytest.mark.parametrize("embedded", [False, True])
def test_arrays_of_kspace_have_slices_first_and_the_phase(embedded: bool, tmp_path: Path) -> None:
    path, phase = kspace_run(tmp_path, embedded=embedded)
    inspection = inspect(path)
    assert inspection.faults == ()
    assert "maps" in str([row.variable for row in inspection.rows]), "complex coil maps"
    arrays = np.load(export_array(path, tmp_path / "a.npz"))
    of, kept = example_plan(draws=3), [0, 2, 3]
    draws = images(of, [0, 1, 2], kept)[:, :, 0]
    assert arrays["mean"].shape == (6, 7, 6), "slice, row, column"
    np.testing.assert_array_equal(arrays["samples"][:, kept], draws)
    np.testing.assert_allclose(arrays["mean"][kept], draws.mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(arrays["zero_filled"][kept], images(of, [7], kept)[0, :, 0])
    np.testing.assert_allclose(arrays["phase"][kept], phase, atol=1e-5)
    assert np.isnan(arrays["mean"][[1, 4, 5]]).all()
    where = arrays["affine"] @ [2, 3, 4, 1]  # slice 2, row 3, column 4
    wanted = of.placement.model.affine @ [4, 3, 2, 1]
    np.testing.assert_allclose(where, wanted)


def test_two_channels_are_one_complex_image(tmp_path: Path) -> None:
    of = example_plan(draws=5, channels=2)
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        write_rest(writer)
        path = writer.finish(writer.summarise(components=0))
    arrays = np.load(export_array(path, tmp_path / "a.npz"))
    draws = images(of, list(range(5)), list(of.slices))
    wanted = (draws[:, :, 0] + 1j * draws[:, :, 1]).transpose(0, 3, 2, 1)
    np.testing.assert_array_equal(arrays["samples"][..., list(of.slices)], wanted)
    std = arrays["std"][..., list(of.slices)]
    np.testing.assert_allclose(std, wanted.std(axis=0, ddof=1), rtol=1e-5)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, plan())
    with pytest.raises(PosteriorError, match=r"written as \.npz"):
        export_array(path, tmp_path / "a.mat")
    (tmp_path / "a.npz").write_text("of the user")
    with pytest.raises(PosteriorError, match="exists already"):
        export_array(path, tmp_path / "a.npz")
    with PosteriorWriter(tmp_path / "b.h5", plan()) as writer:
        writer.write([0], [0], images(plan(), [0], [0]))
    with pytest.raises(PosteriorError, match="is not finished"):
        export_array(tmp_path / "b.h5.part", tmp_path / "b.npz")
