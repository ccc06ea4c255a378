"""Section 10: where every number comes from, and the command that makes the file again."""

import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from uqrestore.reports.contents import Contents
from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.sections.section import Guide, Section
from uqrestore.reports.stated import flat, part, plain

DEFAULTS = {"keep": "all"}


def context(findings: Findings, _: Shown) -> dict[str, Any]:
    """Return the table of provenance and the command."""
    return {"facts": facts(findings), "again": again(findings.contents)}


def facts(findings: Findings) -> list[tuple[str, str]]:
    """Return the rows of the table of provenance."""
    c = findings.contents
    provenance, root = c.provenance, c.file.root
    versions = part(provenance, "versions")
    rows: list[tuple[str, Any]] = [
        ("file", c.path.name),
        ("status", c.file.status),
        ("made", root.get("created_at")),
        ("scan", _name_and_hash(part(provenance, "scan"))),
        ("prior", _name_and_hash(part(provenance, "prior"))),
        ("fingerprint", root.get("fingerprint")),
        ("pipeline sha256", provenance.get("pipeline_sha256")),
        ("versions", ", ".join(f"{name} {value}" for name, value in versions.items())),
        ("device, precision", _joined(provenance, "device", "dtype")),
        ("random streams", provenance.get("random_streams")),
        ("grid", provenance.get("grid")),
        ("intensity", plain(provenance.get("intensity"))),
        ("noise of the measurement", _noise(findings)),
        ("time of the draws", _time(c)),
        ("cost of a draw", _cost(c)),
        ("warning", root.get("warning")),
    ]
    return [(name, str(value) if value else "not stated") for name, value in rows]


def again(c: Contents) -> str:
    """Return the pipeline and the command that make the file again."""
    call = c.provenance.get("call")
    if isinstance(call, str):  # of an array, not of a scan's file
        return call
    pipeline = dict(part(c.provenance, "pipeline"))
    if not pipeline:
        return "# The file does not hold its pipeline, so it cannot be made again from this page."
    if pipeline.get("operator") is None:
        # Measured data bring operator and noise of their own; the pipeline then names neither.
        pipeline = {k: v for k, v in pipeline.items() if k not in ("operator", "noise_std")}
    scan = str(part(c.provenance, "scan").get("name", "SCAN"))
    words = ["uqrestore", "reconstruct", scan, "--pipeline", "pipeline.yaml"]
    words += [*_run_options(c), "--out", c.path.name]
    return "\n".join(["# pipeline.yaml", _yaml(pipeline), *_notes(c), shlex.join(words)])


def _run_options(c: Contents) -> list[str]:
    """Return the options of the run; of files that do not state them, what the grid shows."""
    stated = part(c.provenance, "options")
    words = []
    if stated.get("resample") or (not stated and c.file.placement.resampled):
        words.append("--resample")
    if stated.get("allow_gaps"):
        words.append("--allow-gaps")
    if stated.get("mask_sha256"):
        words += ["--mask", "MASK"]
    if c.guarantee is not None:
        words += ["--guarantee", "GUARANTEE"]
    for name in ("slices", "volume", "keep", "bits"):
        value = stated.get(name)
        if value is not None and value != DEFAULTS.get(name):
            words += [f"--{name}", str(value)]
    return words


def _notes(c: Contents) -> list[str]:
    """Return what the command cannot say: files by their hash, slices by their indices."""
    stated = part(c.provenance, "options")
    notes = []
    if digest := stated.get("mask_sha256"):
        notes.append(f"# MASK is the file with sha256 {digest}")
    if c.guarantee is not None:
        notes.append("# GUARANTEE is the file that `uqrestore calibrate` wrote")
    indices = stated.get("indices")
    if isinstance(indices, list) and stated.get("slices") is None:
        notes.append(f"# only from Python: slices={indices}")
    return notes


def _yaml(pipeline: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(
        {key: flat(value) for key, value in pipeline.items()}, sort_keys=False, width=90
    )


def _noise(findings: Findings) -> str:
    model = findings.contents.file.noise_model()
    if model is not None:
        numbers = ", ".join(f"{key} {value:.4g}" for key, value in model.parameters().items())
        return f"{model.name.replace('_', ' ')}: {numbers}"
    noise = findings.contents.noise_std
    if noise is None:
        return ""
    low, high = float(np.min(noise)), float(np.max(noise))
    if high == 0:
        return "none"
    unit = findings.unit
    span = (
        unit.number(low, 3) if low == high else f"{unit.number(low, 3)} to {unit.number(high, 3)}"
    )
    return f"standard deviation {span} {unit.name} per real measurement"


def _joined(data: Mapping[str, Any], *names: str) -> str:
    return ", ".join(str(data[name]) for name in names if name in data)


def _name_and_hash(stated: Mapping[str, Any]) -> str:
    digest = str(stated.get("sha256") or "")
    return f"{stated.get('name', 'not stated')}" + (f", sha256 {digest}" if digest else "")


def _time(c: Contents) -> str:
    seconds = c.file.find("posterior/wall_s")
    return "" if seconds is None else f"{float(seconds.sum()):.0f} s"


def _cost(c: Contents) -> str:
    calls, products = c.number("posterior/nfe"), c.number("sample_stats/products")
    if calls is None:
        return ""
    text = f"{calls:.0f} network calls a slice"
    if products is None:
        return f"{text}, without the backward passes of methods that need them"
    return f"{text} and {products:.0f} vector-Jacobian products (one backward pass each)"


SECTION = Section(
    "provenance",
    "Provenance",
    """
<div class="scroll" tabindex="0" role="group" aria-label="Table of provenance"><table class="facts"><tbody>
{% for name, value in facts %}<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</tbody></table></div>
<h3>How to make the file again</h3>
<pre id="again" tabindex="0">{{ again }}</pre>
""",
    context,
    Guide(
        "Where every number comes from.",
        "Hashes, versions and seed are all stated.",
        "Unknown weights or an unknown scan.",
        "Keep the posterior file: this page can be made from it again at any time.",
    ),
)
