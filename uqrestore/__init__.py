"""Restore medical and scientific images from incomplete, noisy measurements, with uncertainty.

``import uqrestore`` loads nothing heavy: functions and rooms are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from uqrestore._shared.version import __version__

if TYPE_CHECKING:  # what ``__getattr__`` imports at run time
    from uqrestore import (
        baselines,
        batch,
        benchmarks,
        conformal,
        demo,
        diagnostics,
        diffusion,
        explorer,
        methods,
        metrics,
        networks,
        noise,
        operators,
        pipeline,
        posterior,
        priors,
        problem,
        reports,
        restoration,
        scans,
        training,
        zoo,
    )
    from uqrestore import noise as noise_models
    from uqrestore._front import (
        calibrate,
        evaluate,
        load_pipeline,
        open,
        report,
        restore,
        train,
    )
    from uqrestore.batch import bids
    from uqrestore.conformal import study as evaluation
    from uqrestore.diffusion import wrap
    from uqrestore.noise import SampleNoise
    from uqrestore.problem import GeneralProblem, Problem, simulate
    from uqrestore.restoration.sampling import sample
    from uqrestore.scans import read_input, read_scan, scan_from_kspace
    from uqrestore.zoo import list_priors, load_prior

__all__ = [
    "GeneralProblem",
    "Problem",
    "SampleNoise",
    "__version__",
    "baselines",
    "batch",
    "benchmarks",
    "bids",
    "calibrate",
    "conformal",
    "demo",
    "diagnostics",
    "diffusion",
    "evaluate",
    "evaluation",
    "explorer",
    "list_priors",
    "load_pipeline",
    "load_prior",
    "methods",
    "metrics",
    "networks",
    "noise",
    "noise_models",
    "open",
    "operators",
    "pipeline",
    "posterior",
    "priors",
    "problem",
    "read_input",
    "read_scan",
    "report",
    "reports",
    "restoration",
    "restore",
    "sample",
    "scan_from_kspace",
    "scans",
    "simulate",
    "train",
    "training",
    "wrap",
    "zoo",
]

_DEFINED_IN = {
    "GeneralProblem": "problem",
    "Problem": "problem",
    "SampleNoise": "noise",
    "calibrate": "_front",
    "evaluate": "_front",
    "list_priors": "zoo",
    "load_pipeline": "_front",
    "load_prior": "zoo",
    "open": "_front",
    "read_input": "scans",
    "read_scan": "scans",
    "scan_from_kspace": "scans",
    "report": "_front",
    "restore": "_front",
    "sample": "restoration.sampling",
    "simulate": "problem",
    "train": "_front",
    "wrap": "diffusion",
}
"""Module of every function and class; no module may carry the name of one of them."""

_ROOMS_WITHIN = {"bids": "batch.bids", "evaluation": "conformal.study", "noise_models": "noise"}
"""Modules that have a name of their own here."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'uqrestore' has no attribute {name!r}")
    if name not in _DEFINED_IN:
        return import_module(f"uqrestore.{_ROOMS_WITHIN.get(name, name)}")
    value = getattr(import_module(f"uqrestore.{_DEFINED_IN[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
