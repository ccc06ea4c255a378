"""Section 9: a paragraph for a paper, and what to cite."""

from typing import Any

from uqrestore.posterior.intervals import central_interval
from uqrestore.reports.contents import Contents
from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.references import KARRAS, METHODS
from uqrestore.reports.sections.section import Guide, Section
from uqrestore.reports.stated import options, part

SOFTWARE = (
    "@software{uqrestore,\n  title = {uqrestore: restoration of medical images with measured "
    "uncertainty},\n  author = {{The uqrestore developers}},\n  license = {Apache-2.0}\n}"
)


def context(findings: Findings, _: Shown) -> dict[str, Any]:
    """Return the paragraph and the BibTeX entries."""
    return {"text": methods_text(findings), "bibtex": bibtex(findings.calibration.method)}


def methods_text(findings: Findings) -> str:
    """Describe the restoration for a paper, with what the file states."""
    c = findings.contents
    pipeline, prior = part(c.provenance, "pipeline"), part(c.provenance, "prior")
    method, operator = part(pipeline, "method"), part(pipeline, "operator")
    name = str(method.get("name", "an unstated method"))
    known = METHODS.get(name)
    cite = f" ({known.words})" if known else ""
    acquisition = c.provenance.get("acquisition")
    sentences = [
        f"{len(c.z)} slices were restored with uqrestore "
        f"{c.file.root.get('inference_library_version', '(version unknown)')} from measurements of "
        f"a {operator.get('name') or c.operator or 'linear'} operator"
        f"{options(operator.get('mask'))}{_noise(c)}.",
        _unknown(findings),
        f"The data were {acquisition}." if acquisition else "",
        f"Per slice, {c.planned} posterior samples were drawn with {name}{cite}"
        f"{options(method.get('options'))}, using the diffusion prior "
        f"{prior.get('name', '(unstated)')} ({KARRAS.words}); seed "
        f"{pipeline.get('seed', 'unstated')}.",
        f"Estimates are posterior means; intervals are {_intervals(c)}.",
        findings.calibration.summary if findings.calibration.rows else "",
        "The uncertainty is conditional on the learned prior and the forward model. Research use "
        "only.",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _noise(c: Contents) -> str:
    noise = c.file.noise_model()
    if noise is None:
        return ""
    return f", with {noise.name.replace('_', ' ')} noise{options(noise.parameters())}"


def _unknown(findings: Findings) -> str:
    """Return which parameters were drawn with the image, and what was linearised."""
    names = [name.replace("_", " ") for name in findings.contents.file.parameters]
    words = f"Drawn with the image: {', '.join(names)}." if names else ""
    rounds = part(findings.contents.provenance, "pipeline").get("linearise")
    if rounds:
        words = f"The likelihood was linearised about an estimate, in {rounds} rounds. {words}"
    return words.strip()


def _intervals(c: Contents) -> str:
    if c.interval_level is None:
        return f"{c.interval} intervals"
    interval = central_interval(c.planned)
    if interval.level != c.interval_level:  # an unfinished run has fewer draws
        return f"central {c.interval} intervals between order statistics of the draws"
    return f"central {interval.name} intervals, from {interval.ends}"


def bibtex(method: str) -> str:
    """Return what to cite."""
    known = METHODS.get(method)
    entries = [SOFTWARE, *([known.bibtex] if known else []), KARRAS.bibtex]
    return "\n\n".join(entries)


SECTION = Section(
    "methods",
    "Methods",
    """
<button type="button" data-copy="methods-text">copy the text</button>
<p id="methods-text">{{ text }}</p>
<h3>References</h3>
<button type="button" data-copy="bibtex">copy the BibTeX</button>
<pre id="bibtex" tabindex="0">{{ bibtex }}</pre>
""",
    context,
    Guide(
        "A paragraph for your paper, with the settings of this file.",
        "Every setting is stated.",
        "A setting is unstated, because the file does not hold it.",
        "Cite the paper of the method, and state that the acquisition was simulated if it was.",
    ),
)
