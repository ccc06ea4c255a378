"""A guarantee is printed where it holds, and nowhere else."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uqrestore.conformal.guarantee import Guarantee
from uqrestore.conformal.scope import Scope, setting_of
from uqrestore.posterior import Interval, PosteriorPlan, PosteriorWriter
from uqrestore.posterior.example import example_plan
from uqrestore.reports.findings import find
from uqrestore.reports.page import write_report

PROVENANCE: dict[str, Any] = {
    "pipeline": {"method": {"name": "exact"}, "operator": {}, "noise_std": 0.1, "draws": 5},
    "prior": {"name": "field", "sha256": "0123456789abcdef"},
}


def promise() -> Guarantee:
    return Guarantee(
        method="crc",
        alpha=0.1,
        delta=None,
        bound=None,
        share=1.0,
        widths={"interval": 2.0},
        components=0,
        keys=tuple(f"scene {i}" for i in range(60)),
        unit="slice",
        units=60,
        scope=Scope.covering([setting_of(PROVENANCE, "identity", 5, (3.0, 3.0))]),
    )


def write(path: Path, provenance: dict[str, Any], text: str) -> Path:
    plan: PosteriorPlan = dataclasses.replace(example_plan(draws=5), provenance=provenance)
    images = np.random.default_rng(0).normal(
        100, 5, (5, len(plan.slices), 1, plan.rows, plan.columns)
    )
    with PosteriorWriter(path, plan) as writer:
        writer.write(range(5), plan.slices, images.astype(np.float32))
        summary = writer.summarise(components=1)
        mean = summary.mmse
        interval = Interval(mean - 30, mean + 30, text)
        return writer.finish(dataclasses.replace(summary, guaranteed=interval))


def test_a_guarantee_in_scope_is_printed_with_its_intervals(tmp_path: Path) -> None:
    written = write_report(write(tmp_path / "a.h5", PROVENANCE, promise().to_json()))
    assert written.data["statement"] == promise().statement
    assert written.data["numbers"]["half_width"] == pytest.approx(30)
    assert "the 60 of the calibration" in written.page.read_text()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"noise_std": 0.5}, "noise_std 0.5 is not in 0.1"),
        ({"method": {"name": "dps"}}, "sampler"),
    ],
)
def test_out_of_scope_it_is_refused_with_the_reason(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    fields = {**PROVENANCE, "pipeline": {**PROVENANCE["pipeline"], **change}}
    findings = find(write(tmp_path / "a.h5", fields, promise().to_json()))
    assert findings.guarantee is None
    assert why in " ".join(findings.warnings)
    assert findings.half_width is not None
    assert findings.half_width < 15, "the intervals shown are those of the draws again"


def test_a_guarantee_changed_by_hand_is_refused(tmp_path: Path) -> None:
    text = promise().to_json().replace("scene 7", "scene 70")
    findings = find(write(tmp_path / "a.h5", PROVENANCE, text))
    assert findings.guarantee is None
    assert "changed after the calibration" in " ".join(findings.warnings)
