"""Turning point and inversion noise of SSD by operator, on slices of a real scan.

``python -m tests.benchmarks.ssd_operators DATA`` prints PSNR of the mean and of one draw, and the
squared distance of two draws over their squared error (1 is right).
"""

import argparse
from pathlib import Path

import torch

from tests.benchmarks.brains import real_validation_slices
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Downsampling, Inpainting, StridedBlur, stack_operators
from uqrestore.operators.kernels import gaussian_kernel
from uqrestore.problem import simulate
from uqrestore.training.validation import image_psnr
from uqrestore.zoo import load_prior

SHAPE, SLICES = (1, 64, 64), 12
KEPT = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) > 0.7
OPERATORS = {
    "super-resolution x4": Downsampling(SHAPE, 4, "bicubic"),
    "super-resolution x8": Downsampling(SHAPE, 8, "bicubic"),
    "deblurring": StridedBlur(gaussian_kernel((17, 17), 2.0), 1, SHAPE),
    "in-painting": Inpainting(KEPT.float()),
}
SETTINGS = ((350, 0.0), (550, 0.4), (750, 1.0))
"""Turning point ``t0`` and ``eta_inversion``."""


def main() -> None:
    """Print one line a setting."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    truth = real_validation_slices(parser.parse_args().data)[::3][:SLICES]
    prior = load_prior("brain64-prior")
    for name, operator in OPERATORS.items():
        problem = simulate(stack_operators([operator] * SLICES), truth)
        for t0, eta in SETTINGS:
            noise = SampleNoise(0, range(2), slices=range(SLICES))
            draws = METHODS["ssd"](problem, prior, noise, preset="30", t0=t0, eta_inversion=eta)
            mean, one = (image_psnr(x, truth).mean() for x in (draws.mean(0), draws[0]))
            ratio = (draws[0] - draws[1]).square().mean() / (draws - truth).square().mean()
            print(  # noqa: T201 - the command's answer
                f"{name}, t0 {t0}, eta_inversion {eta}: mean {mean:.2f} dB, draw {one:.2f} dB, "
                f"distance over error {ratio:.2f}"
            )


if __name__ == "__main__":
    main()
