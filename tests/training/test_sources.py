"""Where training images come from: phantoms, label maps, mixtures."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from uqrestore.training.config import DataConfig
from uqrestore.training.data import DataError, Source
from uqrestore.training.labels import labels_source, load_labels
from uqrestore.training.phantoms import random_ellipses
from uqrestore.training.sources import mix, open_data


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def write_people(path: Path, splits: tuple[str, ...] = ("train", "val")) -> None:
    """Write two-tissue balls of 1 mm voxels, off the centre of their box."""
    z, y, x = np.mgrid[:20, :60, :50]
    radius = np.hypot(y - 35, x - 20)
    label = np.where(radius < 12, 1, np.where(radius < 18, 2, 0)).astype(np.uint8)
    label[z < 3] = 0
    with h5py.File(path, "w") as file:
        for split in splits:
            person = file.create_group(f"{split}/somebody")
            person["label"] = label
            person.attrs["t1_mean"] = [0.0, 0.8, 0.5]


def test_slices_from_label_maps_are_centred_bright_inside_and_dark_outside(tmp_path: Path) -> None:
    write_people(tmp_path / "labels.h5")
    images = labels_source(load_labels(tmp_path / "labels.h5", "train", 16))(6, generator())
    assert images.shape == (6, 1, 16, 16)
    assert images.min() == -1
    assert images.max() <= 1
    assert (images[:, 0, 7:9, 7:9] > 0.3).all(), "white matter in the centre"
    assert (images[:, 0, 0] < -0.9).all(), "background at the rim"
    assert images.std(dim=0).max() > 0.05, "no two alike"


def test_the_same_seed_draws_the_same_slices(tmp_path: Path) -> None:
    write_people(tmp_path / "labels.h5")
    source = labels_source(load_labels(tmp_path / "labels.h5", "train", 16))
    assert torch.equal(source(3, generator(4)), source(3, generator(4)))


def test_labels_alone_are_data_enough(tmp_path: Path) -> None:
    write_people(tmp_path / "labels.h5")
    source, val = open_data(tmp_path, DataConfig(labels="labels.h5", shape=(1, 16, 16)))
    assert source(2, generator()).shape == (2, 1, 16, 16)
    assert len(val) == 256


def constant(value: float) -> Source:
    return lambda count, _: torch.full((count, 1, 2, 2), value)


def test_a_mixture_draws_its_share_of_each() -> None:
    draw = mix(constant(0.0), constant(1.0), 0.25)
    drawn = draw(4000, generator())
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
        (DataConfig(), "neither files nor labels"),
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
