"""People in the training data: nobody in both training and validation, their number and ages."""

import csv
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from uqrestore.training.data import DataError

NAMED = 5
"""People that an error message names."""


@dataclass(frozen=True)
class People:
    """People whose images are trained and validated on.

    Attributes:
        train: Their names; empty where the data name none.
        val: Names of the people validated on.
        ages: Age of each in years, as far as it is known.
    """

    train: frozenset[str]
    val: frozenset[str]
    ages: dict[str, float]

    def check_apart(self) -> None:
        """Raise unless nobody is both trained and validated on.

        Raises:
            DataError: If somebody is; the first few are named.
        """
        if both := sorted(self.train & self.val):
            more = f" and {len(both) - NAMED} more" if len(both) > NAMED else ""
            raise DataError(
                f"data: {', '.join(both[:NAMED])}{more} would be both trained and validated on, "
                "and the validation would not show what is new; put every person into one of the "
                "two only."
            )

    def to_card(self) -> dict[str, object]:
        """Return number and range of ages for the card of the prior."""
        if not self.train:
            return {}
        facts: dict[str, object] = {"train": len(self.train), "val": len(self.val)}
        known = [self.ages[person] for person in self.train if person in self.ages]
        if known:
            facts["ages"] = {"low": min(known), "high": max(known), "known": len(known)}
        return {"people": facts}


def held_out(people: Collection[str], share: float) -> frozenset[str]:
    """Choose people to validate on, always the same ones of the same people; at least one.

    Raises:
        DataError: If there are fewer than two people to choose from.
    """
    if len(people) < 2:
        raise DataError(
            f"data.val_share: the data name {len(people)} people, so nobody can be held out; give "
            "a data set 'subject' beside the slices, scans with sub-NAME in their path, or "
            "validation data of other people."
        )
    order = sorted(people, key=lambda name: hashlib.sha256(name.encode()).digest())
    return frozenset(order[: min(max(1, round(share * len(order))), len(order) - 1)])


def read_ages(path: Path) -> dict[str, float]:
    """Read the ages of people from a table (CSV or TSV); rows without a number are passed over.

    Raises:
        DataError: If the file is missing, or lacks the columns.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file, but data.people names it.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        columns = rows.fieldnames or []
        name = next((key for key in ("subject", "participant_id") if key in columns), None)
        if name is None or "age" not in columns:
            raise DataError(
                f"{path}: needs columns 'subject' (or 'participant_id') and 'age', it has "
                f"{', '.join(columns) or 'none'}."
            )
        ages = {}
        for row in rows:
            try:
                ages[row[name]] = float(row["age"])
            except (TypeError, ValueError):
                continue
    return ages
