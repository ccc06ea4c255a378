"""Calibration of the method behind a file: its card, and a check against the reference image."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uqrestore import zoo
from uqrestore.reports.contents import Contents
from uqrestore.zoo.card import PriorCard

CARDS = Path(zoo.__file__).parent / "cards"


@dataclass(frozen=True)
class Row:
    """One measurement of a method against an exact posterior.

    Attributes:
        operator: Registry name.
        noise_std: Network units.
        variance_ratio: Variance of the draws over the exact posterior's.
        mean_error: Over that of exact draws.
        coverage: Of central 90 % intervals.
        same_operator: Whether it is the operator of the file.
    """

    operator: str
    noise_std: float
    variance_ratio: float
    mean_error: float
    coverage: float
    same_operator: bool


@dataclass(frozen=True)
class Calibration:
    """A method's card, as far as it concerns a file.

    Attributes:
        method: Name; empty if the file does not say.
        variant: Settings of the card that are shown.
        exact_settings: Whether they are those of the file.
        problem: What it was measured on.
        rows: The measurements.
        note: What is wrong or missing, in a sentence; empty if nothing.
    """

    method: str
    variant: str
    exact_settings: bool
    problem: str
    rows: tuple[Row, ...]
    note: str

    @property
    def chosen(self) -> tuple[Row, ...]:
        """Rows of the file's operator, or all if it was not measured."""
        same = tuple(row for row in self.rows if row.same_operator)
        return same or self.rows

    @property
    def grade(self) -> str:
        """``good``, ``fair``, ``poor`` or ``unknown``."""
        if not self.rows:
            return "unknown"
        worst = max(abs(np.log(max(row.variance_ratio, 1e-9))) for row in self.chosen)
        return "good" if worst < np.log(1.15) else "fair" if worst < np.log(1.6) else "poor"

    @property
    def summary(self) -> str:
        """The card's verdict in one sentence."""
        if not self.rows:
            return self.note
        low = min(row.variance_ratio for row in self.chosen)
        high = max(row.variance_ratio for row in self.chosen)
        span = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
        where = "this kind of operator" if self.chosen[0].same_operator else "other operators"
        return (
            f"On problems with a known posterior and {where}, the draws of {self.method} "
            f"({self.variant}) have {span} times the exact variance."
        )


@dataclass(frozen=True)
class SelfCheck:
    """How this file's intervals do against its own reference image.

    Attributes:
        coverage: Share of masked pixels inside their interval.
        expected: Exact coverage of an ideal sampler; None where it is not known.
        error_over_std: Root mean square error of the mean over root mean square std; None if the
            draws do not differ.
    """

    coverage: float
    expected: float | None
    error_over_std: float | None


def find_calibration(contents: Contents, cards: Path = CARDS) -> Calibration:
    """Look up the card of the method that drew a file."""
    pipeline = contents.provenance.get("pipeline")
    stated = pipeline.get("method") if isinstance(pipeline, Mapping) else None
    method = str(stated.get("name", "")) if isinstance(stated, Mapping) else ""
    options = stated.get("options", {}) if isinstance(stated, Mapping) else {}

    def unknown(note: str) -> Calibration:
        return Calibration(method, "", False, "", (), note)

    if not method:
        return unknown("The file does not say which method drew it, so no card can be shown.")
    card = _load(method, cards)
    if card is None:
        return unknown(f"No calibration card of {method} is known to this version.")
    measured = [row for row in card.get("measured", []) if isinstance(row, Mapping)]
    if not measured:
        return unknown(f"The card of {method} holds no measurement.")
    same = [row for row in measured if dict(row.get("options", {})) == dict(options)]
    shown = same or [row for row in measured if row.get("variant") == measured[0].get("variant")]
    try:
        rows = tuple(_row(row, _operator(contents)) for row in shown)
    except (KeyError, TypeError, ValueError) as error:
        return unknown(f"The card of {method} cannot be read ({error}).")
    note = ""
    if not same:
        note = (
            f"The settings of this run were not calibrated; shown is "
            f"{measured[0].get('variant', 'the default')}."
        )
    elif not any(row.same_operator for row in rows):
        note = "The operator of this file is not among those calibrated."
    return Calibration(
        method=method,
        variant=str(shown[0].get("variant", "")),
        exact_settings=bool(same),
        problem=str(card.get("problem", "")),
        rows=rows,
        note=note,
    )


def check_itself(contents: Contents) -> SelfCheck | None:
    """Compare intervals with the reference image, where the file holds one."""
    mask, maps = contents.mask, contents.maps
    if "truth" not in maps or not mask.any():
        return None
    truth, low, high, mean, std = (
        maps[name][mask].astype(np.float64) for name in ("truth", "low", "high", "mean", "std")
    )
    spread = float(np.sqrt(np.mean(std**2)))
    error = float(np.sqrt(np.mean((mean - truth) ** 2)))
    return SelfCheck(
        coverage=float(((truth >= low) & (truth <= high)).mean()),
        expected=contents.interval_level,
        error_over_std=error / spread if spread > 0 else None,
    )


def prior_card(contents: Contents) -> tuple[PriorCard | None, str]:
    """Return the card of the prior, and a note on whether it is the one that was used."""
    stated = contents.provenance.get("prior")
    name = str(stated.get("name", "")) if isinstance(stated, Mapping) else ""
    if name not in zoo.list_priors():
        return None, "The card of the prior is not known to this version."
    card = zoo.load_card(name)
    if isinstance(stated, Mapping) and stated.get("sha256") != card.sha256:
        return card, "The weights of this run differ from those of the card shown here."
    return card, ""


def _load(method: str, cards: Path) -> Mapping[str, Any] | None:
    # The name comes from a file: only a card of that very name, never a path.
    known = {path.stem: path for path in cards.glob("*.json")}
    if method not in known:
        return None
    try:
        card = json.loads(known[method].read_text())
    except ValueError:
        return None
    return card if isinstance(card, dict) else None


def _row(row: Mapping[str, Any], operator: str) -> Row:
    return Row(
        operator=str(row["operator"]),
        noise_std=float(row["noise_std"]),
        variance_ratio=float(row["variance_ratio"]),
        mean_error=float(row["mean_error"]) / float(row.get("mean_error_floor", 1)),
        coverage=float(row["coverage_90"]),
        same_operator=row["operator"] == operator,
    )


def _operator(contents: Contents) -> str:
    """Return the operator that acts on the images; a pipeline may only state the sampling."""
    if contents.operator:
        return contents.operator
    pipeline = contents.provenance.get("pipeline", {})
    stated = pipeline.get("operator") if isinstance(pipeline, Mapping) else None
    return str(stated.get("name", "")) if isinstance(stated, Mapping) else ""
