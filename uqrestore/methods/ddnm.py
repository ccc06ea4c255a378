"""DDNM: replace the measured part of every denoised image by the measurement."""

from collections.abc import Iterator
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.ddim import EtaMode, effective_eta, move, unit_start
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.schedules import Schedule
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_noise_free, require_range
from uqrestore.methods._method import method
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem


@method(published={"eta_mode": "fixed"})
def ddnm(
    problem: Problem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    schedule: Schedule = Schedule(100),
    eta: float = 0.85,
    eta_mode: EtaMode = "consistent",
    travel_length: int = 1,
    travel_repeat: int = 1,
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw images that are exactly consistent with a noise-free measurement.

    :math:`\hat x_0 = D - A^+ (A D - y)`; the noise direction is the network's. Makes ``steps``
    network calls without time travel, else ``steps + (r - 1) l ceil((steps - l) / l)``.

    Args:
        problem: Noise-free; ``operator.pinv`` is used once a call.
        denoiser: Prior; only its unconditional estimate is used.
        noise: Random streams of the samples to draw.
        schedule: Noise levels; ``steps``, ``grid`` or ``sigmas`` state one too.
        eta: Fraction of new noise, 0 to 1.
        eta_mode: ``fixed`` as published, or ``consistent``.
        travel_length: Steps between returns to higher noise, and steps of each return (l).
        travel_repeat: Number of passes over each stretch (r); 1 is no time travel.

    Returns:
        Images in network intensity, with ``A x = y`` to rounding.

    Raises:
        ValueError: If the measurement is noisy, or an option is out of range.

    References:
        Wang, Yu & Zhang, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space
        Model", ICLR 2023, Algorithm 1 (travel_repeat=1) and 2. arXiv:2212.00490
    """
    require_noise_free("ddnm", problem)
    levels = schedule.levels()
    most = len(levels) - 1
    require_range("ddnm", eta=(eta, 0, 1), travel_length=(travel_length, 1, most))
    require_range("ddnm", travel_repeat=(travel_repeat, 1, 1000))
    denoise = Checked(denoiser, "ddnm")
    operator, seen = problem.operator, problem.operator.pinv(problem.y)
    x = unit_start(noise, problem.in_shape, problem.y, levels[0])
    answer = x
    for start, end in travel(most, travel_length, travel_repeat):
        sigma, sigma_next = levels[start], levels[end]
        if end < start:  # back up: the last estimate, before the measurement, with new noise
            x = answer + sigma_next * noise.like(answer)
            continue
        answer = denoise(x, sigma)
        x0 = answer - operator.row_part(answer) + seen
        share = effective_eta(eta, eta_mode, sigma, sigma_next)
        x = move(x0, (x - answer) / sigma, sigma_next, share, noise)
    return x


def travel(steps: int, length: int, repeat: int) -> Iterator[tuple[int, int]]:
    """Yield moves between indices of a decreasing grid, each stretch passed ``repeat`` times.

    Counted from the end as RePaint does: on reaching ``j`` steps to go, for ``j`` a multiple of
    ``length`` below ``steps - length``, jump up ``length`` steps, ``repeat - 1`` times.

    References:
        Lugmayr et al., "RePaint", CVPR 2022, appendix B. arXiv:2201.09865
    """
    jumps = dict.fromkeys(range(0, steps - length, length), repeat - 1)
    togo, path = steps, [steps]
    while togo >= 1:
        togo -= 1
        path.append(togo)
        if jumps.get(togo, 0) > 0:
            jumps[togo] -= 1
            togo += length
            path.append(togo)
    for before, after in pairwise(path):
        yield steps - before, steps - after
