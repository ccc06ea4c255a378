"""Comparison of a measurement with the random operators that a network was trained on."""

from dataclasses import dataclass

import torch

from uqrestore.operators import Composed, LinearOperator
from uqrestore.operators.base import Shape
from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.posterior.general_acquisition import GeneralAcquisition
from uqrestore.restoration.measure import calibration_side
from uqrestore.restoration.prepare import PreparedScan
from uqrestore.restoration.prior_cache import PriorCache
from uqrestore.scans import Verdict
from uqrestore.training.batch import build_distribution
from uqrestore.training.config import ProblemConfig
from uqrestore.zoo.card import PriorCard

DRAWS = 24  # of a family, for the range of how much it measures
SLACK = 0.1  # relative, of that range and of the noise
CALIBRATION = 12
"""Side of the fewest samples that maps were tested with (``python -m tests.benchmarks.raw``); from
8 lines the true image has a chi-square of 5 to 14 a measurement."""


@dataclass(frozen=True)
class _Kind:
    """Compared features of an operator: name, measured share, whole lines or points."""

    name: str
    share: float
    lines: bool


def verdict_with_operator(
    pipeline: RestorePipeline,
    prepared: PreparedScan,
    acquisition: Acquisition | GeneralAcquisition,
    cache: PriorCache,
    device: str,
) -> Verdict:
    """Return the verdict on a scan and on the measurement that its networks are given."""
    if not isinstance(acquisition, Acquisition):
        return prepared.verdict  # only networks without a measurement take these
    conditioned = pipeline.method.name == "conditional"
    findings = operator_findings(prepared.card, acquisition, conditioned=conditioned)
    if pipeline.predictor is not None:
        _, card = cache.denoiser(pipeline.predictor, device)
        findings += operator_findings(card, acquisition, role="predictor")
    return prepared.verdict.with_findings(*findings, *_map_findings(prepared))


def _map_findings(prepared: PreparedScan) -> tuple[str, ...]:
    """Return what speaks against coil maps; a data fit cannot, for maps are fitted to the data."""
    side = None if prepared.kspace is None else calibration_side(prepared.kspace)
    if side is None or side >= CALIBRATION:
        return ()
    return (
        f"coil maps are estimated from {side} x {side} samples at the centre of k-space, fewer "
        f"than the {CALIBRATION} x {CALIBRATION} that were tested: draws can fit the data and be "
        "far from the image; measure more calibration lines, or give maps",
    )


def operator_findings(
    card: PriorCard, acquisition: Acquisition, *, role: str = "prior", conditioned: bool = True
) -> tuple[str, ...]:
    """Return what speaks against asking a conditional network about a measurement.

    Args:
        card: Of the network; one that was trained without measurements is never at fault.
        acquisition: What was measured.
        role: What the network is in the pipeline: ``prior`` or ``predictor``.
        conditioned: Whether the network gets the measurement; otherwise it must have been trained
            without one now and then.
    """
    if card.training.problem is None or not card.operator_families:
        return ()
    config = ProblemConfig.model_validate(card.training.problem.model_dump())
    if not conditioned:
        if "nothing" in config.families:
            return ()
        return (f"the {role} was never trained without a measurement, as this method uses it",)
    findings = [_family_finding(role, card, config, acquisition.operator)]
    noise = float(acquisition.intensity.std_to_network(acquisition.noise_std))
    low, high = config.noise_std
    if noise > high * (1 + SLACK) or 0 < noise < low * (1 - SLACK):
        findings.append(
            f"the measurement has noise of {noise:.3g} in network units, the {role} was trained "
            f"on {low:g} to {high:g}"
        )
    return tuple(filter(None, findings))


def _family_finding(
    role: str, card: PriorCard, config: ProblemConfig, operator: LinearOperator
) -> str:
    """Return why no family of the training holds the operator; empty if one does."""
    ours = _kind(operator)
    families = ", ".join(config.families)
    for name, options in config.families.items():
        try:
            distribution = build_distribution(name, options, card.in_shape or operator.in_shape)
            generator = torch.Generator().manual_seed(0)
            drawn = [_kind(distribution.draw_one(generator))]
            if drawn[0].name != ours.name:
                continue
            drawn += [_kind(distribution.draw_one(generator)) for _ in range(DRAWS - 1)]
        except (ValueError, ImportError):  # a family of another version, or of a missing extra
            continue
        low, high = min(kind.share for kind in drawn), max(kind.share for kind in drawn)
        if all(kind.lines for kind in drawn) and not ours.lines:
            return f"the {role} was trained on whole lines ({name}), the measurement is of points"
        if not low * (1 - SLACK) <= ours.share <= high * (1 + SLACK):
            return (
                f"the measurement holds {100 * ours.share:.2g} % of the image, the {role} was "
                f"trained on {100 * low:.2g} to {100 * high:.2g} % ({name})"
            )
        return ""
    return (
        f"the {role} was trained on {families}, not on {ours.name}; a zero-shot method with an "
        "unconditional prior takes any operator"
    )


def _kind(operator: LinearOperator) -> _Kind:
    while isinstance(operator, Composed):
        operator = operator.parts[0]
    mask = getattr(operator, "mask", None)
    if not isinstance(mask, torch.Tensor):
        return _Kind(operator.name, _size(operator.out_shape) / _size(operator.in_shape), True)
    lines = any(bool((mask.all(axis) == mask.any(axis)).all()) for axis in (-1, -2))
    return _Kind(operator.name, float(mask.double().mean()), lines)


def _size(shape: Shape) -> int:
    return torch.Size(shape).numel()
