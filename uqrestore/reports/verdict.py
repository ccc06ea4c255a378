"""Verdict of a report: four judgements, each a grade, a word and the number behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uqrestore.posterior.data_fit import chain_warning
from uqrestore.reports.contents import Contents
from uqrestore.reports.data_fit import DataFit
from uqrestore.reports.findings import Findings
from uqrestore.reports.method_card import Calibration


@dataclass(frozen=True)
class Light:
    """One judgement of the verdict: a grade, a word, and why."""

    name: str
    grade: str
    word: str
    text: str

    @property
    def sign(self) -> str:
        """A shape beside the word, so that nothing depends on colour."""
        return {"good": "✓", "fair": "△", "poor": "✗"}.get(self.grade, "?")


def lights(findings: Findings) -> list[Light]:
    """Judge scope, data fit, calibration and completeness."""
    return [
        _scope(findings.contents.scope),
        _fit(findings.fit),
        _calibration(findings.calibration),
        _draws(findings.contents),
    ]


def statement(findings: Findings) -> str:
    """Return what the intervals guarantee."""
    if findings.guarantee:
        return findings.guarantee
    return (
        "This file holds no calibrated guarantee. Its intervals are those of the draws: they are "
        "right as far as the sampling method, the prior and the forward model are right."
    )


def _scope(scope: Mapping[str, Any] | None) -> Light:
    name = "Scope of the prior"
    if scope is None or "in_scope" not in scope:
        return Light(name, "unknown", "unknown", "The file does not say.")
    found = scope.get("findings") or ()
    text = "; ".join(str(item) for item in found) if isinstance(found, list | tuple) else ""
    if scope["in_scope"] is None:
        text = text or "The prior's card does not say what it was trained on."
        return Light(name, "unknown", "unknown", text)
    if scope["in_scope"]:
        text = text or "The prior was trained on scans of this kind."
        return Light(name, "good", "in scope", text)
    text = text or "The prior was not trained on scans of this kind."
    return Light(name, "poor", "out of scope", text)


def _fit(fit: DataFit | str) -> Light:
    if isinstance(fit, str):
        return Light("Data fit", "unknown", "unknown", fit)
    word = {"good": "fits the data", "fair": "nearly fits", "poor": "does not fit the data"}
    summary = fit.summary[0].upper() + fit.summary[1:]
    return Light("Data fit", fit.grade, word[fit.grade], f"{summary}.")


def _calibration(calibration: Calibration) -> Light:
    name, grade = "Calibration of the method", calibration.grade
    if grade != "unknown" and calibration.note:
        # Settings or operator were not measured: the card is a hint, not a pass.
        return Light(name, "fair", "not these settings", calibration.summary)
    word = {"good": "close to exact", "fair": "biased", "poor": "far off", "unknown": "unknown"}
    return Light(name, grade, word[grade], calibration.summary)


def _draws(contents: Contents) -> Light:
    complete = contents.file.complete
    slices = "1 slice" if len(contents.z) == 1 else f"{len(contents.z)} slices"
    text = f"{len(contents.draws)} of {contents.planned} draws, {slices}."
    if complete:
        text += " The file is byte for byte as written."
    if stuck := chain_warning(contents.file):
        return Light("Draws", "poor", "chains do not mix", f"{stuck[0].upper()}{stuck[1:]}. {text}")
    return Light(
        "Draws", "good" if complete else "fair", "complete" if complete else "partial", text
    )
