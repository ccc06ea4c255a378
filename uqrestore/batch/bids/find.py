"""Anatomical images of a BIDS dataset, and their brain masks in its derivatives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uqrestore.batch import BatchError, Task
from uqrestore.scans.nifti import on_one_grid

SUFFIXES = ("T1w", "T2w", "FLAIR")
"""Images that are restored."""
DRAWN = "draws"
"""Description (``desc``) of the posterior file."""
WHERE = ("sub", "ses", "acq", "rec", "run")
"""Entities of an image that its mask may share."""


@dataclass(frozen=True)
class BidsScan:
    """An image of a dataset.

    Attributes:
        path: Its file.
        root: The dataset.
        entities: Values of its entities, suffix and datatype, such as ``{"sub": "01", ...}``.
        mask: Its brain mask, if one was found.
        note: Why a mask was not taken; empty otherwise.
    """

    path: Path
    root: Path
    entities: Mapping[str, Any]
    mask: Path | None
    note: str

    def name(self, desc: str) -> str:
        """Return the path of an output without extension, below the derivative."""
        from bids2table import format_bids_path

        entities = {**self.entities, "desc": desc, "ext": ""}
        return format_bids_path(entities).as_posix()

    @property
    def task(self) -> Task:
        """The image as a task of a batch."""
        return Task(self.name(DRAWN), self.path, self.mask)


def find_scans(
    dataset: Path,
    *,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    suffixes: Sequence[str] = SUFFIXES,
    masks: Path | None = None,
) -> list[BidsScan]:
    """Find the anatomical images of a dataset, with masks of its derivatives on their grid.

    Args:
        dataset: Folder of a raw BIDS dataset.
        participants: Labels, with or without ``sub-``; all if empty.
        sessions: Labels, with or without ``ses-``; all if empty.
        suffixes: Suffixes of the images, such as ``T1w``.
        masks: Derivative that holds the masks, files ``_desc-brain_mask``; else every derivative
            below ``derivatives``.

    Raises:
        BatchError: If the folder is no BIDS dataset, a participant has no image, or two masks fit
            one image.
        ModuleNotFoundError: If bids2table is missing.
    """
    wanted = [label.removeprefix("sub-") for label in participants]
    of_sessions = [label.removeprefix("ses-") for label in sessions]
    images = [
        row
        for row in _index(dataset, wanted)
        if row["datatype"] == "anat"
        and row["suffix"] in suffixes
        and row["ext"] in (".nii", ".nii.gz")
        and (not of_sessions or row["ses"] in of_sessions)
    ]
    if missing := sorted(set(wanted) - {row["sub"] for row in images}):
        raise BatchError(
            f"{dataset}: participant {', '.join(missing)} has no {', '.join(suffixes)} image in "
            "anat; correct --participant-label."
        )
    if not images:
        raise BatchError(f"{dataset}: holds no {', '.join(suffixes)} image in an anat folder.")
    folders = [masks] if masks else sorted((dataset / "derivatives").glob("*"))
    found = [
        row
        for folder in folders
        if masks or _holds(folder, wanted)
        for row in _index(folder, wanted)
        if row["suffix"] == "mask" and row["desc"] == "brain" and not row["space"]
    ]
    return [_scan(dataset, row, found) for row in images]


def _index(dataset: Path, participants: Sequence[str]) -> list[dict[str, Any]]:
    """Return entities and path of every file of some participants, sorted by path."""
    try:
        from bids2table import index_dataset
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "BIDS needs the package bids2table: pip install 'uqrestore[bids]'.", name="bids2table"
        ) from None
    if not (dataset / "dataset_description.json").is_file():
        raise BatchError(f"{dataset}: is no BIDS dataset: it has no dataset_description.json.")
    labels = [f"sub-{label}" for label in participants]
    rows = index_dataset(dataset.resolve(), labels or None).to_pylist()
    return sorted(rows, key=lambda row: row["path"])


def _holds(derivative: Path, participants: Sequence[str]) -> bool:
    """Return whether a folder is a derivative with files of these participants."""
    named = [derivative / f"sub-{label}" for label in participants] or derivative.glob("sub-*")
    is_dataset = (derivative / "dataset_description.json").is_file()
    return is_dataset and any(folder.is_dir() for folder in named)


def _scan(dataset: Path, row: dict[str, Any], masks: Sequence[dict[str, Any]]) -> BidsScan:
    path = dataset.resolve() / row["path"]
    skipped = ("dataset", "root", "path", "ext", "extra_entities")
    entities = {key: value for key, value in row.items() if value and key not in skipped}
    if row["extra_entities"]:
        raise BatchError(f"{path}: has entities that BIDS does not know; rename it.")
    fitting, note = [], ""
    for mask in masks:
        if any(mask[key] and mask[key] != row[key] for key in WHERE):
            continue
        file = Path(mask["root"]) / mask["path"]
        if on_one_grid(path, file):
            fitting.append((sum(bool(mask[key]) for key in WHERE), file))
        else:
            note = f"mask {file.name} is on another grid and was not used"
    most = max((count for count, _ in fitting), default=0)
    best = [file for count, file in fitting if count == most]
    if len(best) > 1:
        raise BatchError(
            f"{path.name}: two masks fit, {best[0]} and {best[1]}; choose a derivative by --masks."
        )
    return BidsScan(path, dataset.resolve(), entities, *((best[0], "") if best else (None, note)))
