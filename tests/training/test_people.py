"""People in the training data: split by person, nobody on both sides, counted in the card."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.training.test_bad_data import SCANS, write_scan
from tests.training.test_training import SHAPE, config, slices
from uqrestore.training.config import CardConfig, DataConfig, TrainConfig
from uqrestore.training.data import DataError
from uqrestore.training.people import held_out, read_ages
from uqrestore.training.run import run_training
from uqrestore.training.sources import open_data
from uqrestore.training.stored import load_stored
from uqrestore.training.volumes import load_volumes
from uqrestore.zoo import load_card

FILES = DataConfig(files=("a.h5",), shape=SHAPE, augment="none")


def write(path: Path, key: str = "subject", **people: Sequence[object]) -> None:
    """Write one slice for each name, ``train=["ann", "bob"]``."""
    with h5py.File(path, "w") as file:
        for split, names in people.items():
            group = file.create_group(split)
            group["brain"] = slices(40).numpy()[: len(names), 0]
            text = all(isinstance(name, str) for name in names)
            kind = h5py.string_dtype() if text else np.int32
            group[key] = np.array(names, dtype=kind)


def test_the_person_of_every_slice_is_known(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", train=["ann", "ann", "bob"])
    found = load_stored(tmp_path, FILES, "train")
    assert found.person == ("ann", "ann", "bob")
    assert found.people == {"ann", "bob"}


def test_nobody_is_both_trained_and_validated_on(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", train=["ann", "bob", "cy"], val=["bob", "dot"])
    with pytest.raises(DataError, match="bob would be both trained and validated on"):
        open_data(tmp_path, FILES)
    write(tmp_path / "a.h5", train=["ann", "cy"], val=["bob", "dot"])
    assert open_data(tmp_path, FILES).people.val == {"bob", "dot"}


def test_records_of_one_group_are_one_person(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", "group", train=[3, 3, 4], val=[4])
    with pytest.raises(DataError, match=r"a\.h5 group 4 would be both"):
        open_data(tmp_path, FILES)


def test_people_are_held_out_whole(tmp_path: Path) -> None:
    names = [f"person {i % 10}" for i in range(40)]
    write(tmp_path / "a.h5", train=names)
    opened = open_data(tmp_path, FILES.model_copy(update={"val_share": 0.3}))
    assert (len(opened.people.train), len(opened.people.val)) == (7, 3)
    assert len(opened.val) == 12, "every slice of three people"
    assert not opened.people.train & opened.people.val
    assert held_out(set(names), 0.3) == opened.people.val, "always the same"


def test_people_that_are_not_known_cannot_be_held_out(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", "somebody", train=["ann", "bob"])
    with pytest.raises(DataError, match="the data name 0 people, so nobody can be held out"):
        open_data(tmp_path, FILES.model_copy(update={"val_share": 0.3}))


def test_scans_of_one_subject_are_one_person(tmp_path: Path) -> None:
    write_scan(tmp_path / "train/sub-01/a.nii.gz")
    write_scan(tmp_path / "val/sub-01/b.nii.gz", bright=700)
    config = SCANS.model_copy(update={"scans": ("train/*/*",), "val_scans": ("val/*/*",)})
    with pytest.raises(DataError, match="sub-01 would be both"):
        open_data(tmp_path, config)


def test_a_scan_that_lies_on_both_sides_is_refused(tmp_path: Path) -> None:
    for name in ("train/a.nii.gz", "val/b.nii.gz"):
        write_scan(tmp_path / name)
    with pytest.raises(DataError, match=r"the scan with SHA-256 .* would be both"):
        open_data(tmp_path, SCANS)


def test_scans_are_stripped_to_their_masks_which_are_no_scans(tmp_path: Path) -> None:
    import nibabel

    write_scan(tmp_path / "train/a.nii.gz")
    write_scan(tmp_path / "train/b.nii.gz", bright=700)
    image: Any = nibabel.load(tmp_path / "train/a.nii.gz")
    inside = np.zeros(image.shape, np.uint8)
    inside[8:12, 8:12, 2:10] = 1
    nibabel.save(nibabel.Nifti1Image(inside, image.affine), tmp_path / "train/a_mask.nii.gz")
    config = SCANS.model_copy(update={"mask": "{stem}_mask.nii.gz"})
    messages: list[str] = []
    found = load_volumes(tmp_path, ("train/*",), config, messages.append)
    assert len(messages) == 1
    assert "b.nii.gz: has no mask b_mask.nii.gz" in messages[0]
    assert (found.slices > 0).flatten(1).sum(1).max() <= 16, "nothing outside the mask"
    whole = load_volumes(tmp_path, ("train/a.nii.gz",), SCANS)
    assert (whole.slices > 0).flatten(1).sum(1).max() > 50


def test_one_mask_for_all_scans_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is the same for every scan; write \{stem\}"):
        DataConfig(mask="mask.nii.gz")


def test_ages_are_read_from_either_kind_of_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("subject,age\nann,41.5\nbob,\n")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\t30\nsub-02\tn/a\n")
    assert read_ages(tmp_path / "a.csv") == {"ann": 41.5}
    assert read_ages(tmp_path / "participants.tsv") == {"sub-01": 30.0}
    (tmp_path / "b.csv").write_text("name,age\nann,3\n")
    with pytest.raises(DataError, match=r"needs columns 'subject' .* it has name, age"):
        read_ages(tmp_path / "b.csv")


def test_the_card_states_people_ages_licence_and_contrast(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", train=["ann", "ann", "bob"], val=["dot"])
    (tmp_path / "people.csv").write_text("subject,age\nann,41.5\nbob,20\ndot,80\n")
    facts = CardConfig.model_validate(
        {
            "contrast": "T2w",
            "skull_stripped": True,
            "licence": "CC0",
            "data": [{"name": "ours", "licence": "CC BY 4.0"}],
        }
    )
    data = FILES.model_copy(update={"people": "people.csv"})
    run = config(samples=16, data=data, validate_every=16, card=facts)
    card = load_card(str(run_training(run, "small", "small", tmp_path, tmp_path / "run")))
    assert card.domain.contrast == "T2w"
    assert card.domain.skull_stripped
    assert card.licence == "CC0"
    assert card.data == ({"name": "ours", "licence": "CC BY 4.0"},)
    ages = {"low": 20.0, "high": 41.5, "known": 2}
    assert card.extra["people"] == {"train": 2, "val": 1, "ages": ages}
    assert "card" not in card.training.extra


def test_a_fact_that_no_card_has_is_named() -> None:
    with pytest.raises(ValueError, match="contrasts"):
        TrainConfig.model_validate({"samples": 8, "card": {"contrasts": "T1w"}})


def test_fields_that_are_left_out_do_not_change_the_hash() -> None:
    dumped = config().model_dump(mode="json")
    assert not {"card", "mask", "val_share", "people"} & {*dumped, *dumped["data"]}
    assert "mask" in config(data=DataConfig(mask="{stem}_m.nii")).model_dump()["data"]
