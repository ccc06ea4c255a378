"""Evidence against closed forms: ``python -m tests.benchmarks.physics_evidence``.

Rows are kept in ``docs/benchmarks-physics-evidence.json`` as they are finished, and become a
section of ``docs/benchmarks-physics.md``.
"""

import json
import sys
import warnings
from typing import Any

import torch

from tests.benchmarks.physics import DOCS, write
from tests.benchmarks.physics_cases import SCENES, SHAPE
from uqrestore.methods import evidence
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting, StridedBlur
from uqrestore.operators.kernels import gaussian_kernel
from uqrestore.priors import ClosedForm, GaussianMixture, GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import Problem, simulate

PARTICLES, LEVELS, APART = 100, 40, 5.0


def mixture() -> GaussianMixture:
    """Return three fields that differ in brightness and contrast."""
    field = gaussian_field(SHAPE)
    parts = [
        GaussianPrior(field.mean + m, field.directions, v * field.variances, SHAPE)
        for m, v in ((0.6, 0.3), (-0.4, 0.1), (0.0, 0.2))
    ]
    return GaussianMixture(torch.tensor([0.3, 0.5, 0.2]).double(), parts)


def measure(prior: ClosedForm, title: str) -> dict[str, Any]:
    """Return the numbers of one row."""
    x = prior.draw(SampleNoise(0, [0], slices=range(SCENES)))[0]
    if title.startswith("blur"):
        parts = [StridedBlur(gaussian_kernel((5, 5), s), 1, SHAPE) for s in (1.0, 0.5)]
        right, wrong = (part.to(torch.float64) for part in parts)
        levels = (0.05, 0.05)
    else:
        generator = torch.Generator().manual_seed(0)
        right = wrong = Inpainting(torch.rand(SHAPE, generator=generator) < 0.6).to(torch.float64)
        levels = (0.1, 0.25)
    problem = simulate(right, x, noise_std=levels[0], seed=0)
    both = (problem, Problem(wrong, problem.y, levels[1]))
    exact = torch.stack([prior.log_evidence(p) for p in both])
    noise = SampleNoise(1, range(PARTICLES), slices=range(SCENES))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="evidence:")
        found = [evidence(p, prior, noise, levels=LEVELS) for p in both]
    log = torch.stack([f.log for f in found])
    apart = (exact[0] - exact[1]).abs() > APART
    agree = (log[0] - log[1]).sign() == (exact[0] - exact[1]).sign()
    return {
        "prior": "mixture" if isinstance(prior, GaussianMixture) else "field",
        "title": title,
        "error": float((log - exact).square().mean().sqrt()),
        "worst": float((log - exact).abs().max()),
        "stated": float(torch.stack([f.std for f in found]).square().mean().sqrt()),
        "right": float(agree[apart].double().mean()),
        "apart": int(apart.sum()),
    }


def main() -> None:
    """Measure what is missing or named and write the page."""
    torch.set_num_threads(1)
    store = DOCS / "benchmarks-physics-evidence.json"
    rows = json.loads(store.read_text()) if store.exists() else {}
    titles = ("blur of 1.0 or 0.5 pixels", "noise of 0.1 or 0.25")
    known = {
        f"{name}-{title.split()[0]}": (prior, title)
        for name, prior in (("field", gaussian_field(SHAPE)), ("mixture", mixture()))
        for title in titles
    }
    for key in sys.argv[1:] or [key for key in known if key not in rows]:
        rows[key] = measure(*known[key])
        store.write_text(json.dumps(rows, indent=1) + "\n")
        print(key, rows[key], flush=True)  # noqa: T201 - progress
        write()


if __name__ == "__main__":
    main()
