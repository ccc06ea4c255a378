"""Findings of a report as plain values for JSON."""

from typing import Any

import numpy as np

from uqrestore.posterior.intervals import central_interval
from uqrestore.reports.data_fit import DataFit
from uqrestore.reports.findings import Findings
from uqrestore.reports.method_card import SelfCheck
from uqrestore.reports.regions import Region
from uqrestore.reports.verdict import lights, statement


def to_data(findings: Findings) -> dict[str, Any]:
    """Return the findings as plain values; intensities are in the unit of the file."""
    c, fit, check = findings.contents, findings.fit, findings.check
    measured = fit if isinstance(fit, DataFit) else None
    seconds = c.file.find("posterior/wall_s")
    numbers: dict[str, Any] = {
        "slices": len(c.z),
        "draws": len(c.draws),
        "draws_planned": c.planned,
        "interval": c.interval,
        "interval_level": c.interval_level,
        "half_width": findings.half_width,
        "half_width_share": findings.half_width_share,
        "data_fit": measured and measured.typical,
        "data_fit_kind": measured and ("chi2" if measured.noisy else "relative"),
        "component_share": [float(share) for share in c.explained if np.isfinite(share)],
        "coverage": check and check.coverage,
        "coverage_gap": _coverage_gap(check),
        "error_over_std": check and check.error_over_std,
        "seconds": None if seconds is None else float(seconds.sum()),
        **{name: value for name, value in c.figures.items() if isinstance(value, int | float)},
    }
    root = c.file.root
    return {
        "format": "uqrestore-report-1",
        "file": c.path.name,
        "title": root.get("title", ""),
        "status": c.file.status,
        "fingerprint": root.get("fingerprint", ""),
        "unit": c.unit,
        "verdict": {
            light.name: {"grade": light.grade, "word": light.word, "text": light.text}
            for light in lights(findings)
        },
        "statement": statement(findings),
        "numbers": numbers,
        "parameters": [parameter.to_data() for parameter in findings.parameters],
        "regions": [_region(region) for region in findings.regions],
        "regions_warning": findings.regions_warning,
        "region_guarantee": findings.region_guarantee,
        "region_components": [varying.to_data() for varying in findings.varying],
        "threshold": findings.threshold,
        "missing": [*findings.warnings, *c.missing],
    }


def _region(region: Region) -> dict[str, Any]:
    return {
        "name": region.name,
        "voxels": region.voxels,
        "millilitres": region.millilitres,
        "position_mm": list(region.position),
        "mean": region.estimate,
        "interval": list(region.interval),
        "interval_level": central_interval(len(region.values)).level,
        "truth": region.truth,
        "above_threshold": region.above,
        "guaranteed": None if region.guaranteed is None else list(region.guaranteed),
    }


def _coverage_gap(check: SelfCheck | None) -> float | None:
    """Return the coverage minus that of an ideal sampler of as many draws, in percentage points."""
    if check is None or check.expected is None:
        return None
    return 100 * (check.coverage - check.expected)
