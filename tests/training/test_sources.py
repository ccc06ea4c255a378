"""Where training images come from: phantoms, label maps, mixtures."""

import contextlib
import fcntl
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.training.phantoms import random_ellipses
from uqrestore.training.config import DataConfig
from uqrestore.training.data import DataError, Drawn, Source
from uqrestore.training.labels import labels_source, load_labels
from uqrestore.training.sources import mix, open_data
from uqrestore.training.windows import windows_source


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(source: Source, count: int, seed: int = 0) -> torch.Tensor:
    return Drawn.of(source(count, generator(seed))).images


def write_people(path: Path, splits: tuple[str, ...] = ("train", "val")) -> None:
    """Write two-tissue balls of 1 mm voxels, off the centre of their box."""
    z, y, x = np.mgrid[:20, :60, :50]
    radius = np.hypot(y - 35, x - 20)
    label = np.where(radius < 12, 1, np.where(radius < 18, 2, 0)).astype(np.uint8)
    label[z < 3] = 0
    with h5py.File(path, "w") as file:
        for split in splits:
            person = file.create_group(f"{split}/somebody of {split}")
            person["label"] = label
            person.attrs["t1_mean"] = [0.0, 0.8, 0.5]


def test_slices_from_label_maps_are_centred_bright_inside_and_dark_outside(tmp_path: Path) -> None:
    write_people(tmp_path / "labels.h5")
    images = pictures(labels_source(load_labels(tmp_path / "labels.h5", "train", 16)), 6)
    assert images.shape == (6, 1, 16, 16)
    assert images.min() == -1
    assert images.max() <= 1
    assert (images[:, 0, 7:9, 7:9] > 0.3).all(), "white matter in the centre"
    assert (images[:, 0, 0] < -0.9).all(), "background at the rim"
    assert images.std(dim=0).max() > 0.05, "no two are the same"


def test_the_same_seed_draws_the_same_slices(tmp_path: Path) -> None:
    write_people(tmp_path / "labels.h5")
    source = labels_source(load_labels(tmp_path / "labels.h5", "train", 16))
    one, other = (pictures(source, 3, 4) for _ in range(2))
    assert torch.equal(one, other)


def test_labels_alone_are_data_enough(tmp_path: Path) -> None:
    write_people(tmp_path / "labels.h5")
    opened = open_data(tmp_path, DataConfig(labels="labels.h5", shape=(1, 16, 16)))
    assert pictures(opened.source, 2).shape == (2, 1, 16, 16)
    assert len(opened.val) == 256


def constant(value: float) -> Source:
    return lambda count, _: torch.full((count, 1, 2, 2), value)


def test_a_mixture_draws_its_share_of_each() -> None:
    draw = mix(constant(0.0), constant(1.0), 0.25)
    drawn = pictures(draw, 4000)
    assert len(drawn) == 4000
    assert float(drawn.mean()) == pytest.approx(0.25, abs=0.03)


def test_phantoms_are_bodies_on_a_dark_ground() -> None:
    images = random_ellipses(20, 24, generator())
    assert images.shape == (20, 1, 24, 24)
    assert images.min() >= -1
    assert images.max() <= 1
    assert (images[:, 0, 0] == -1).all()
    assert (images[:, 0, 8:16, 8:16].mean(dim=(1, 2)) > -1).all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DataConfig(), "names no files, scans or labels"),
        (DataConfig(labels="none.h5"), r"none.h5: no such file"),
        (DataConfig(labels="labels.h5"), "no group 'train'"),
        (DataConfig(labels="bare.h5"), "needs a dataset 'label'"),
    ],
)
def test_data_that_cannot_be_used_are_named(
    config: DataConfig, message: str, tmp_path: Path
) -> None:
    write_people(tmp_path / "labels.h5", splits=("test",))
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file.create_group("train/somebody")
    with pytest.raises(DataError, match=message):
        open_data(tmp_path, config)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        open_data(tmp_path / "nowhere", DataConfig())


def ramp(count: int, _: torch.Generator) -> torch.Tensor:
    """Slices whose pixels say where they are: row + column / 100, all above the background."""
    rows, columns = torch.arange(20.0)[:, None], torch.arange(30.0)[None] / 100
    return (rows + columns).expand(count, 1, 20, 30)


def test_windows_are_pieces_of_slices_from_anywhere_and_a_little_beyond() -> None:
    windows = pictures(windows_source(ramp, (8, 12)), 400)
    assert windows.shape == (400, 1, 8, 12)
    inside = windows.amin(dim=(1, 2, 3)) > -1
    down, across = windows.diff(dim=-2), windows.diff(dim=-1)
    torch.testing.assert_close(down[inside], torch.ones_like(down[inside]))
    torch.testing.assert_close(across[inside], torch.full_like(across[inside], 0.01))
    assert set(windows[inside][:, 0, 0, 0].floor().tolist()) == set(range(13)), "every row"
    outside = (windows == -1).float().mean(dim=(1, 2, 3))
    assert float(outside.max()) > 0.2
    assert float(outside.max()) < 0.5, "a quarter a side at most"


def test_windows_of_one_slice_are_cut_at_several_places() -> None:
    windows = pictures(windows_source(ramp, (8, 12)), 3)
    assert len({float(w.mean()) for w in windows}) == 3


def test_a_run_on_windows_reads_slices_of_their_own_size(tmp_path: Path) -> None:
    write_people(tmp_path / "labels.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for split in ("train", "val"):
            file.create_group(split)["brain"] = np.full((3, 24, 24), 0.5, np.float32)
    config = DataConfig(
        files=("a.h5",),
        labels="labels.h5",
        labels_share=0.5,
        shape=(1, 16, 16),
        windows_of=(24, 24),
        voxel_mm=1.5,
    )
    with contextlib.ExitStack() as stack:
        for name in ("labels.h5", "a.h5"):  # HDF5 gets no lock, as on a drive without them
            held = stack.enter_context((tmp_path / name).open("rb+"))
            fcntl.flock(held, fcntl.LOCK_EX)
        opened = open_data(tmp_path, config)
    assert pictures(opened.source, 5).shape == (5, 1, 16, 16)
    assert opened.val.shape == (256, 1, 16, 16)
    with pytest.raises(DataError, match=r"data.windows_of ask for \(1, 20, 24\)"):
        open_data(tmp_path, config.model_copy(update={"windows_of": (20, 24)}))


@pytest.mark.parametrize("voxel_mm", [1.5, 3.0])
def test_an_anatomy_drawn_with_smaller_pixels_fills_more_of_them(
    voxel_mm: float, tmp_path: Path
) -> None:
    write_people(tmp_path / "labels.h5")
    side = round(48 / voxel_mm)
    labels = load_labels(tmp_path / "labels.h5", "train", side, voxel_mm)
    images = pictures(labels_source(labels), 8)
    assert images.shape == (8, 1, side, side)
    area = float((images > -0.5).float().sum(dim=(1, 2, 3)).mean()) * voxel_mm**2
    assert area == pytest.approx(np.pi * 18**2, rel=0.15), "a disc of 18 mm"
