"""Posterior files for tests of reports: sound, poor in content, hostile, unfinished."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np

from uqrestore.posterior import PosteriorPlan, PosteriorWriter
from uqrestore.posterior.example import example_plan

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}'


def write_plain(path: Path, plan: PosteriorPlan | None = None, *, components: int = 0) -> Path:
    """Write noise around 100 for a plan without mask, truth or provenance."""
    plan = example_plan(draws=5) if plan is None else plan
    with PosteriorWriter(path, plan) as writer:
        writer.write(range(plan.draws), plan.slices, _images(plan, plan.draws))
        return writer.finish(writer.summarise(components=components))


def write_partial(path: Path, draws: int = 3) -> Path:
    """Write some draws of a run and stop, as a killed process does."""
    plan = example_plan(draws=5)
    with PosteriorWriter(path, plan) as writer:
        writer.write(range(draws), plan.slices, _images(plan, draws))
    return path.with_name(path.name + ".part")


def write_newer(path: Path) -> Path:
    """Write a file of a schema that does not exist yet, without the digest of this one."""
    partial = write_partial(path)
    with h5py.File(partial, "r+") as file:
        file.attrs["Conventions"] = "CF-1.11 uqrestore-2"
        file["posterior"].attrs["invented"] = "tomorrow"
    return partial


def hostile_plan() -> PosteriorPlan:
    """Return a plan whose every string wants to be markup."""
    return dataclasses.replace(
        example_plan(draws=5),
        title=HOSTILE,
        unit=HOSTILE,
        fingerprint=HOSTILE,
        scope={"in_scope": False, "findings": [HOSTILE]},
        provenance={
            "pipeline": {
                "method": {"name": HOSTILE, "options": {HOSTILE: HOSTILE}},
                "operator": {"name": HOSTILE},
                "seed": HOSTILE,
            },
            "prior": {"name": f"../{HOSTILE}", "sha256": HOSTILE},
            "scan": {"name": HOSTILE},
            "acquisition": HOSTILE,
            "versions": {HOSTILE: HOSTILE},
        },
    )


def _images(plan: PosteriorPlan, draws: int) -> np.ndarray:
    shape = (draws, len(plan.slices), plan.channels, plan.rows, plan.columns)
    return np.random.default_rng(0).normal(100, 5, shape).astype(np.float32)
