"""Sentences and tables of a report that are made from what a file says of itself."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from uqrestore.intervals import central_interval
from uqrestore.reports.contents import Contents
from uqrestore.reports.data_fit import DataFit
from uqrestore.reports.findings import Findings
from uqrestore.reports.references import KARRAS, METHODS

SOFTWARE = (
    "@software{uqrestore,\n  title = {uqrestore: restoration of medical images with measured "
    "uncertainty},\n  author = {{The uqrestore developers}},\n  license = {Apache-2.0}\n}"
)


def fit_words(fit: DataFit) -> str:
    """Say what the misfits of the draws mean."""
    if not fit.noisy:
        return (
            f"Every draw was measured again with the operator of the file: {fit.words}. "
            f"{fit.measurements} numbers were measured, without noise."
        )
    low, high = float(fit.draws.min()), float(fit.draws.max())
    chance = "" if fit.chance is None else f" The first draw's p-value is {fit.chance:.2g}."
    return (
        f"Every draw was measured again with the operator of the file: {fit.words}; draws lie "
        f"between {low:.3g} and {high:.3g}, over {fit.measurements} measurements.{chance}"
    )


def methods_text(findings: Findings) -> str:
    """Describe the restoration for a paper, with what the file says."""
    c = findings.contents
    pipeline = _part(c.provenance, "pipeline")
    method, operator = _part(pipeline, "method"), _part(pipeline, "operator")
    name = str(method.get("name", "an unstated method"))
    known = METHODS.get(name)
    cite = f" ({known.words})" if known else ""
    options = _options(method.get("options"))
    prior = _part(c.provenance, "prior")
    acquisition = c.provenance.get("acquisition")
    sentences = [
        f"{len(c.z)} slices were restored with uqrestore "
        f"{c.root.get('inference_library_version', '(version unknown)')} from measurements of a "
        f"{operator.get('name', 'linear')} operator{_options(operator.get('mask'))}.",
        f"The data were {acquisition}." if acquisition else "",
        f"Per slice, {len(c.draws)} posterior samples were drawn with {name}{cite}{options}, using "
        f"the diffusion prior {prior.get('name', '(unstated)')} ({KARRAS.words}); seed "
        f"{pipeline.get('seed', 'unstated')}.",
        f"Estimates are posterior means; intervals are {_intervals(c)}.",
    ]
    if findings.calibration.rows:
        sentences.append(findings.calibration.words)
    sentences.append(
        "The uncertainty is conditional on the learned prior and the forward model. Research use "
        "only."
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _intervals(c: Contents) -> str:
    if c.interval_level is None or not c.draws:
        return f"{c.interval} intervals"
    interval = central_interval(len(c.draws))
    if interval.level != c.interval_level:  # of draws that the file does not keep
        return f"central intervals that an ideal sampler covers with {c.interval}"
    return f"central {interval.name} intervals, from {interval.ends}"


def bibtex(method: str) -> str:
    """Return what to cite."""
    known = METHODS.get(method)
    entries = [SOFTWARE, *([known.bibtex] if known else []), KARRAS.bibtex]
    return "\n\n".join(entries)


def facts(c: Contents) -> list[tuple[str, str]]:
    """Return the rows of the table of provenance."""
    provenance = c.provenance
    scan, prior = _part(provenance, "scan"), _part(provenance, "prior")
    versions = _part(provenance, "versions")
    rows: list[tuple[str, Any]] = [
        ("file", c.path.name),
        ("status", c.root.get("status")),
        ("made", c.root.get("created_at")),
        ("scan", _name_and_hash(scan)),
        ("prior", _name_and_hash(prior)),
        ("fingerprint", c.root.get("fingerprint")),
        ("pipeline sha256", provenance.get("pipeline_sha256")),
        ("versions", ", ".join(f"{name} {value}" for name, value in versions.items())),
        ("device, precision", _joined(provenance, "device", "dtype")),
        ("random streams", provenance.get("random_streams")),
        ("grid", provenance.get("grid")),
        ("intensity", _plain(provenance.get("intensity"))),
        ("time of the draws", _time(c)),
        ("denoiser calls a slice", _calls(c)),
        ("warning", c.root.get("warning")),
    ]
    return [(name, str(value) if value else "not stated") for name, value in rows]


def again(c: Contents) -> str:
    """Return the commands that make the file again, and its settings."""
    if isinstance(call := c.provenance.get("call"), str):  # of an array, not of a scan's file
        return call
    pipeline = _part(c.provenance, "pipeline")
    scan = str(_part(c.provenance, "scan").get("name", "SCAN"))
    command = (
        f"uqrestore reconstruct {shlex.quote(scan)} --pipeline pipeline.yaml "
        f"--out {shlex.quote(c.path.name)}"
    )
    if not pipeline:
        return f"# The file does not hold its pipeline.\n{command}"
    return f"# pipeline.yaml\n{_yaml(pipeline)}\n{command}"


def _yaml(pipeline: Mapping[str, Any]) -> str:
    import yaml

    flat = {key: _flat(value) for key, value in pipeline.items()}
    return yaml.safe_dump(flat, sort_keys=False, width=90)


def _flat(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """Bring options back beside the name of their part, as a pipeline file writes them."""
    if not isinstance(value, Mapping):
        return value
    own = {key: _flat(item) for key, item in value.items() if key != "options"}
    options = value.get("options")
    return own | (dict(options) if isinstance(options, Mapping) else {})


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = data.get(name)
    return part if isinstance(part, Mapping) else {}


def _options(options: Any) -> str:  # noqa: ANN401  (whatever the file says)
    if not isinstance(options, Mapping) or not options:
        return ""
    flat = _flat(options)
    return " (" + ", ".join(f"{key} {_plain(value)}" for key, value in flat.items()) + ")"


def _plain(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def _joined(data: Mapping[str, Any], *names: str) -> str:
    return ", ".join(str(data[name]) for name in names if name in data)


def _name_and_hash(part: Mapping[str, Any]) -> str:
    digest = str(part.get("sha256") or "")
    return f"{part.get('name', 'not stated')}" + (f", sha256 {digest}" if digest else "")


def _time(c: Contents) -> str:
    seconds = c.timing.get("wall_s")
    return "" if seconds is None else f"{float(seconds.sum()):.0f} s"


def _calls(c: Contents) -> str:
    calls = c.timing.get("nfe")
    return "" if calls is None or not len(calls) else f"{int(calls.max())} a draw"
