"""Tests of a sampler where the truth is not known: by measurements it has not seen."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from uqrestore.diagnostics import statistics
from uqrestore.diagnostics.battery import WORDS, Battery, Words, run_battery
from uqrestore.diagnostics.scenes import scenes_of
from uqrestore.diagnostics.statistics import Pool, Values
from uqrestore.metrics._checks import check_images, check_level
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting, MaskedFourier
from uqrestore.operators._fourier import reflect
from uqrestore.problem import Problem

HELD_OUT_WORDS = {
    **{name: WORDS[name] for name in ("component", "spread", "energy")},
    "projection": Words(
        "the draws predict too small values of the held-out measurements",
        "the draws predict too large values of the held-out measurements",
        "the draws are too narrow in what they predict of the held-out measurements",
        "the draws are too wide in what they predict of the held-out measurements",
    ),
    "power": Words(
        "the draws predict too little energy in the held-out measurements",
        "the draws predict too much energy in the held-out measurements",
        "the draws predict too equal energies in the held-out measurements",
        "the draws predict too different energies in the held-out measurements",
    ),
}


def hold_out(problem: Problem, share: float, generator: torch.Generator) -> tuple[Problem, Problem]:
    """Split a measurement into what a sampler gets and what it is tested on.

    Columns of k-space (opposite frequencies together, which carry the same information for real
    images) or pixels of in-painting, the same ones in every problem.

    Args:
        problem: Masked Fourier or in-painting.
        share: Part of the columns or pixels to hold out.
        generator: Chooses them.

    Returns:
        The kept and the held-out problem; the draws to test are those of the kept one, which
        has fewer measurements than the scan, so it is that sampler that is tested.

    Raises:
        ValueError: If the operator is of another kind, or a part of the split has no
            measurement in some problem.
    """
    check_level("share", share)
    operator = problem.operator
    if isinstance(operator, MaskedFourier):
        mask = operator.mask
        score = torch.rand(mask.shape[-1], generator=generator)
        score = score.expand(mask.shape[-2:])
        chosen = torch.minimum(score, reflect(score)) < 1 - (1 - share) ** 0.5
    elif isinstance(operator, Inpainting):
        mask = operator.mask.bool()
        chosen = torch.rand(mask.shape[-3:], generator=generator) < share
    else:
        raise ValueError(
            f"hold_out can split masked_fourier and inpainting but got {operator.name}; build "
            "the two problems from your own parts of the measurement."
        )
    parts = []
    for what, part in (("kept", mask & ~chosen), ("held out", mask & chosen)):
        if not part.flatten(len(operator.problem_shape)).any(-1).all():
            raise ValueError(
                f"nothing is {what} in at least one problem; change share (now {share:g}) or the "
                "generator."
            )
        half = dataclasses.replace(operator, mask=part)
        where = half.row_mask.expand(problem.y.shape)
        parts.append(Problem(half, problem.y * where, problem.noise_std))
    return parts[0], parts[1]


def held_out_battery(
    held: Problem, draws: Tensor, noise: SampleNoise, *, level: float = 0.01, seed: int = 0
) -> Battery:
    r"""Rank the measurement among the measurements that each draw predicts.

    If the draws come from the posterior of the kept measurement, then :math:`A_h x_l + n_l` and
    the held-out :math:`y_h` are exchangeable: the battery needs no truth.

    Args:
        held: The measurements that the sampler has not seen, one problem per scene.
        draws: Its draws, ``(draw, scene, *image)``.
        noise: Streams of the measurement noise, ``(draw, scene)``, other than the sampler's.
        level: False-alarm rate: probability of rejecting an ideal sampler.
        seed: Of tie-breaks and projections.

    Raises:
        ValueError: If there are fewer than two scenes or draws, or they hold NaN.
    """
    operator = held.operator
    predicted = operator(draws.double())
    if held.is_noisy:
        drawn = held.noise_std_like(predicted) * noise.like(predicted)
        predicted = predicted + (drawn if operator.row_mask is None else drawn * operator.row_mask)
    scenes = scenes_of(held.y.double(), predicted)
    chosen = {
        "projection": _projection,
        "component": statistics.component,
        "spread": statistics.spread,
        "energy": statistics.energy,
        "power": _power,
    }
    return run_battery(scenes, chosen, words=HELD_OUT_WORDS, level=level, seed=seed)


@dataclass(frozen=True)
class ResidualTest:
    """Residuals of draws against the distribution of the truth's residuals.

    Attributes:
        ratio: Mean squared residual per measurement, in noise variances; 1 for an ideal sampler.
        p_value: That one draw per scene has chi-squared residuals.
        scenes: Number of scenes.
    """

    ratio: float
    p_value: float
    scenes: int

    @property
    def verdict(self) -> str:
        """One sentence in words."""
        size = f"residuals of {self.ratio:.3g} noise variances, p = {self.p_value:.2g}"
        if self.p_value > 0.01:
            return f"The draws' residuals are those of the noise ({size}, {self.scenes} scenes)."
        how = "fit the noise of" if self.ratio < 1 else "contradict"
        return f"The draws {how} the measurements ({size}, {self.scenes} scenes)."


def residual_test(problem: Problem, draws: Tensor) -> ResidualTest:
    r"""Test that :math:`\|y - A x_l\|^2 / s^2` is chi-squared with one degree per measurement.

    A posterior draw and its measurement have the joint distribution of truth and measurement, so a
    draw's residual is pure noise over scenes. The posterior *mean* has a smaller residual: one
    of about 1 is no sign of a good mean.

    Args:
        problem: One noisy problem per scene.
        draws: ``(draw, scene, *image)``; the first of each scene gives the p-value.

    Raises:
        ValueError: If the measurements have no noise, there are fewer than two scenes, or the
            draws hold NaN.
    """
    if not (torch.as_tensor(problem.noise_std) > 0).all():
        raise ValueError(
            "the residual test compares residuals with the noise but noise_std is 0; noise-free "
            "draws must explain the measurement exactly."
        )
    if len(problem.problem_shape) != 1 or problem.problem_shape[0] < 2:
        raise ValueError(
            f"the residual test needs at least 2 scenes, got problems {problem.problem_shape}."
        )
    check_images("the draws", draws.detach().cpu().numpy())
    residual = (problem.y - problem.operator(draws)).double() / problem.noise_std_like(
        problem.y.double()
    )
    power = residual.square().flatten(2).sum(-1)
    freedom = problem.operator.measured_rows().expand(problem.problem_shape)
    uniform = stats.chi2.cdf(power[0].numpy(), freedom.numpy())
    p_value = float(stats.kstest(uniform, "uniform").pvalue)
    return ResidualTest(float((power / freedom).mean()), p_value, len(freedom))


def _projection(pool: Pool) -> Values:
    directions = np.random.default_rng([pool.seed, 2]).standard_normal(pool.images.shape[1:])
    return statistics.along(directions)(pool)


def _power(pool: Pool) -> Values:
    return np.square(pool.images).reshape(*pool.images.shape[:2], -1).sum(-1)
