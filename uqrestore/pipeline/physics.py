"""Whether a method fits the measurement of a pipeline: linear, Gaussian and known, or not."""

from uqrestore._shared.named import find_named, is_import
from uqrestore.pipeline.kinds import RestorePipeline


def is_general(pipeline: RestorePipeline) -> bool:
    """Return True if the measurement is not linear, not Gaussian or not fully known."""
    return bool(departures(pipeline))


def departures(pipeline: RestorePipeline) -> list[str]:
    """Return in words how the measurement departs from a linear one with Gaussian noise."""
    from uqrestore.operators.in_pipelines import NONLINEAR_PIPELINE_OPERATORS

    found, operator = [], pipeline.operator
    if operator is not None and operator.name in NONLINEAR_PIPELINE_OPERATORS:
        found.append(f"{operator.name} is not linear")
    if pipeline.noise is not None:
        found.append(f"the noise is {pipeline.noise.model}")
    if pipeline.unknown is not None:
        found.append(f"{pipeline.unknown.name} is unknown")
    return found


def physics_fault(pipeline: RestorePipeline) -> tuple[tuple[str, ...], str] | None:
    """Return the key at fault and why a pipeline cannot restore its measurement; None if it can."""
    from uqrestore.methods import IN_DETAIL, METHODS

    found = departures(pipeline)
    if not found:
        if pipeline.linearise:
            return ("linearise",), "the measurement is linear with Gaussian noise; remove it."
        return None
    why = " and ".join(found)
    of_maps = pipeline.noise is None and pipeline.unknown and pipeline.unknown.name == "maps"
    for key in ("predictor", "baseline", "refine_maps"):
        if getattr(pipeline, key) and not (key == "refine_maps" and of_maps):
            return (key,), f"is for linear measurements with Gaussian noise, but {why}; remove it."
    method = find_named(pipeline.method.name, METHODS, "method")
    general = bool(getattr(method, "general", False))
    unknown = pipeline.unknown is not None or (
        pipeline.noise is not None and pipeline.noise.model == "uncertain_gaussian"
    )
    if unknown and pipeline.linearise:
        return ("linearise",), f"takes parameters as known, but {why}; remove it."
    if unknown and pipeline.method.name not in IN_DETAIL:
        return ("method", "name"), (
            f"{pipeline.method.name} draws images alone, but {why}; choose "
            f"{' or '.join(IN_DETAIL)}."
        )
    joint = unknown and pipeline.noise is None  # methods IN_DETAIL take Gaussian noise at least
    if not (general or joint or pipeline.linearise or is_import(pipeline.method.name)):
        return ("method", "name"), (
            f"{pipeline.method.name} is for linear measurements with Gaussian noise, but {why}; "
            "choose local_laplace, or add 'linearise: 2'."
        )
    if pipeline.noise is None and not pipeline.noise_std and pipeline.operator is not None:
        return ("noise_std",), f"must be above 0 where {why}; state it, or a noise model."
    return None
