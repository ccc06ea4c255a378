"""Data that cannot be used: named, left out and counted, or refused before a run begins."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.training.test_training import SHAPE, config, slices
from uqrestore.pipeline import TrainPipeline
from uqrestore.training.config import DataConfig
from uqrestore.training.data import DataError
from uqrestore.training.run import SKIPPED, run_training
from uqrestore.training.sources import open_data
from uqrestore.training.stored import load_slices, load_stored
from uqrestore.zoo import load_card

CONFIG = DataConfig(files=("a.h5",), shape=SHAPE, augment="none")


def write(path: Path, bad: tuple[int, ...] = ()) -> None:
    images = slices(400).numpy()[:, 0].astype(np.float32) / 255
    for index in bad:
        images[index, 2, 3] = np.nan
    with h5py.File(path, "w") as file:
        file["train/brain"], file["val/brain"] = images, images[:8]


def test_bad_images_among_many_are_named_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", bad=(17, 333))
    messages: list[str] = []
    found = load_stored(tmp_path, CONFIG, "train", messages.append)
    assert len(found.slices) == 398
    assert messages == [f"a.h5: train/brain[{i}]: holds NaN or infinity" for i in (17, 333)]


def test_a_damaged_piece_of_a_file_costs_its_own_slices(tmp_path: Path) -> None:
    path, images = tmp_path / "a.h5", slices(40).numpy()[:, 0]
    with h5py.File(path, "w") as file:
        stored = file.create_dataset(
            "train/brain", data=images, chunks=(10, *SHAPE[1:]), compression="gzip"
        )
        where = stored.id.get_chunk_info(2)
    with path.open("r+b") as raw:
        raw.seek(where.byte_offset)
        raw.write(b"\xff" * where.size)
    messages: list[str] = []
    found = load_stored(tmp_path, CONFIG, "train", messages.append)
    assert len(messages) == 10
    assert messages[0].startswith("a.h5: train/brain[20]: cannot be read")
    assert np.array_equal(found.slices[:, 0].numpy(), np.delete(images, range(20, 30), 0))


def test_a_run_continues_without_them_and_its_card_counts_them(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", bad=(5,))
    messages = config(samples=16, data=CONFIG, validate_every=16).model_dump()
    pipeline = TrainPipeline(kind="train", title="small", **messages)
    weights = run_training(pipeline.config, pipeline.title, "small", tmp_path, tmp_path / "run")
    assert (tmp_path / "run" / SKIPPED).read_text() == (
        "a.h5: train/brain[5]: holds NaN or infinity\na.h5: val/brain[5]: holds NaN or infinity\n"
    )
    assert load_card(str(weights)).extra["skipped_images"] == 2


def test_data_of_nothing_but_bad_images_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", bad=tuple(range(400)))
    with pytest.raises(DataError, match="no slices of variable 'brain' in group 'train'"):
        open_data(tmp_path, CONFIG)


def test_files_may_name_their_slices_differently_and_be_turned_over(tmp_path: Path) -> None:
    images = np.arange(2 * 16 * 16, dtype=np.uint8).reshape(2, 16, 16)
    for name, variable in (("a.h5", "ct"), ("b.h5", "body")):
        with h5py.File(tmp_path / name, "w") as file:
            file[f"train/{variable}"] = images
    fields: dict[str, Any] = {"shape": (1, 16, 16), "augment": "none", "files": ("a.h5", "b.h5")}
    config = DataConfig(variable=("ct", "body"), from_anterior=("b.h5",), **fields)
    slices = load_slices(tmp_path, config, "train").numpy()[:, 0]
    np.testing.assert_array_equal(slices, np.concatenate([images, images[:, ::-1]]))
    with pytest.raises(ValidationError, match="names 3 data sets for 2 files"):
        DataConfig(variable=("ct", "body", "brain"), **fields)
    with pytest.raises(ValidationError, match=r"'c\.h5', which is not in files"):
        DataConfig(from_anterior=("c.h5",), **fields)


def write_scan(path: Path, count: int = 12, bright: float = 600) -> None:
    """A bright ellipsoid on a dark ground, 3 mm."""
    import nibabel

    x, y, z = np.mgrid[:24, :20, :count]
    inside = ((x - 12) / 7) ** 2 + ((y - 10) / 6) ** 2 + ((z - count / 2) / (count / 2)) ** 2 < 1
    path.parent.mkdir(parents=True, exist_ok=True)
    volume = (inside * (bright + 10 * x)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([3.0, 3.0, 3.0, 1.0])), path)


SCANS = DataConfig(
    shape=(1, 16, 16), scans=("train/*",), val_scans=("val/*",), augment="none", heights=8
)


def test_scans_of_a_folder_become_slices_with_their_heights(tmp_path: Path) -> None:
    for bright, name in enumerate(("train/a.nii.gz", "train/b.nii", "val/c.nii.gz")):
        write_scan(tmp_path / name, bright=600 + bright)
    (tmp_path / "train/notes.txt").write_text("not a scan")
    (tmp_path / "train/torn.nii.gz").write_bytes((tmp_path / "train/a.nii.gz").read_bytes()[:300])
    messages: list[str] = []
    opened = open_data(tmp_path, SCANS, messages.append)
    source, val = opened.source, opened.val
    assert len(messages) == 1
    assert messages[0].startswith("torn.nii.gz: ")
    drawn = source(40, torch.Generator().manual_seed(0))
    assert drawn.images.shape == (40, 1, 16, 16)  # type: ignore[union-attr]
    assert drawn.images.amax() <= 1  # type: ignore[union-attr]
    assert (drawn.images[:, 0, 0] == -1).all()  # type: ignore[union-attr]
    assert drawn.height.min() >= 0  # type: ignore[union-attr]
    assert val.shape[1:] == (1, 16, 16)


def test_a_folder_without_a_readable_scan_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no readable scan matches train/\*\. Give the folder"):
        open_data(tmp_path, SCANS)
    (tmp_path / "train").mkdir()
    (tmp_path / "train/torn.nii").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"of 1 scans none can be used, the first: .*torn.nii"):
        open_data(tmp_path, SCANS)
    write_scan(tmp_path / "train/a.nii.gz")
    with pytest.raises(DataError, match=r"none to validate on: give data\.val_scans"):
        open_data(tmp_path, SCANS.model_copy(update={"val_scans": ()}))
