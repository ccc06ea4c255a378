"""Section 2: the images, draw by draw, and the volume."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from uqrestore.reports.contents import TITLES, Contents
from uqrestore.reports.embed import Shown
from uqrestore.reports.findings import Findings
from uqrestore.reports.pictures import VOLUME_SLICES
from uqrestore.reports.sections.section import Guide, Section

LABELS = {
    "truth": "The reference image.",
    "zero_filled": "The measurement as an image, with zeros where nothing was measured.",
    "linear_mmse": "The best linear estimate under a Gaussian prior.",
    "cg_sense": "CG-SENSE: least squares with a quadratic penalty.",
    "l1_wavelet": "Compressed sensing with an l1 penalty on wavelet coefficients.",
    "total_variation": "Compressed sensing with a penalty on differences of neighbouring pixels.",
    "filtered_back_projection": "Filtered back-projection with the ramp filter.",
    "mean": "The posterior mean.",
}


def context(findings: Findings, shown: Shown) -> dict[str, Any]:
    """Return titles of the grey images and what the volume viewer shows."""
    maps = findings.contents.maps
    names = [name for name in (*TITLES, "mean") if name in maps]
    return {
        "grey": [(name, _title(findings.contents, name), LABELS[name]) for name in names],
        "volume": len(shown.slices) >= VOLUME_SLICES,
        "notes": _notes(findings.contents, shown),
    }


def _title(c: Contents, name: str) -> str:
    """Name an image, the weight it was computed with and its quality, where these are stated."""
    title, weight = TITLES.get(name, "posterior mean"), _weight(c, name)
    facts = [
        f"weight {weight:.2g}" if weight is not None else "",
        *(
            form.format(value)
            for metric, form in (("psnr", "{:.1f} dB"), ("ssim", "SSIM {:.3f}"))
            if isinstance(value := c.figures.get(f"{metric}_{name}"), float)
        ),
    ]
    return ", ".join(filter(None, [title, *facts]))


def _weight(c: Contents, name: str) -> float | None:
    """Return the weight of a baseline's penalty, if the file states one."""
    options: Any = c.provenance.get("baselines")
    options = options.get(name) if isinstance(options, Mapping) else None
    weight = options.get("weight") if isinstance(options, Mapping) else None
    return weight if isinstance(weight, float) else None


def _notes(c: Contents, shown: Shown) -> str:
    notes, index = [], c.slices[list(shown.slices)]
    if c.file.complex_image:
        notes.append(
            "Images are magnitudes of complex images: of the posterior mean, of each draw; spread and "
            "intervals are those of the magnitudes of the draws."
        )
    if len(shown.slices) < len(c.z):
        notes.append(
            f"To keep the page small it shows {len(shown.slices)} of {len(c.z)} slices; the file "
            "holds them all."
        )
    if len(index) >= VOLUME_SLICES and (np.diff(index) > 1).any():
        notes.append("In the volume the nearest slice is repeated between those that are shown.")
    return " ".join(notes)


SECTION = Section(
    "images",
    "Images",
    """
<div class="controls">{{ m.slicer("images") }}
<label for="level">level <input type="range" id="level" min="0" max="100" step="0.5"> <output id="level-out"></output></label>
<label for="window">window <input type="range" id="window" min="2" max="150" step="0.5"> <output id="window-out"></output></label>
{% if shown.draws %}<label for="draw">draw <input type="range" id="draw" min="0" max="{{ shown.draws|length - 1 }}" step="1" value="0"> <output id="draw-out"></output></label>
<button type="button" id="cine" data-name="play draws" aria-pressed="false">play draws</button>{% endif %}
</div>
<div class="panels">
{% for name, title, label in grey %}{{ m.picture(name, title, "grey", label, loop.first) }}{% endfor %}
{% if shown.draws %}{{ m.picture("draw", "one posterior draw", "grey", "One draw of the posterior.") }}{% endif %}
{% if c.phase is not none %}{{ m.picture("phase", c.phase_title, "phase", "Phase of the image in degrees.") }}{% endif %}
{{ m.picture("std", "posterior standard deviation", "std", "Posterior standard deviation of every pixel, " ~ u.name ~ ".") }}
{{ m.picture("width", "width of the " ~ c.interval ~ " interval", "width", "Width of the " ~ c.interval ~ " interval of every pixel, " ~ u.name ~ ".") }}
</div>
<p class="readout" id="readout" aria-live="polite"></p>
<p class="screen">All grey images share one window and level. The patient's left is on the left: the view is from above. {{ notes }}</p>
{% if volume %}
<h3 class="screen">Volume</h3>
<div class="controls">
<label for="overlay">overlay <select id="overlay"><option value="std">standard deviation</option><option value="width">width of the {{ c.interval }} interval</option>{% for k in range(shown.components) %}<option value="pc{{ k }}">component {{ k + 1 }}, one standard deviation</option>{% endfor %}<option value="none">none</option></select></label>
<label for="opacity">opacity <input type="range" id="opacity" min="0" max="100" value="65"></label>
<span class="readout" id="volume-readout" aria-live="polite">Click in the volume to read positions (mm) and values.</span>
</div>
<div class="viewer"><canvas id="volume" tabindex="0" role="img" aria-label="Axial, coronal and sagittal cuts of the posterior mean with an overlay, linked by a crosshair, positions in millimetres."></canvas></div>
{% endif %}
""",
    context,
    Guide(
        "The measurement as an image, the posterior mean, single draws, and how far draws differ.",
        "Draws agree on anatomy; the spread is small and follows edges and fine detail.",
        "Draws disagree on structures, or the spread has no relation to the anatomy.",
        "Rely on what all draws share. Detail that appears in some draws only is not determined by "
        "the measurement.",
    ),
    needs_images=True,
)
