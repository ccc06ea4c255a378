"""A small complex image behind odd coils, measured with noise."""

import numpy as np
import torch

from tests.scans.rawfiles import coils, smooth_phase
from uqrestore.operators import CoilFourier
from uqrestore.operators._arrays import Array
from uqrestore.problem import Problem, simulate

SHAPE, COILS, STD = (31, 26), 5, 0.01
MAPS = coils(SHAPE, COILS).astype(np.complex64)
LINES = np.isin(np.arange(SHAPE[1]), [*range(0, SHAPE[1], 3), *range(9, 18)])
MASK = np.broadcast_to(LINES, SHAPE).copy()


def image() -> np.ndarray:
    """Return an ellipse with bright and dark squares and a smooth phase."""
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    inside = (x / 0.8) ** 2 + (y / 0.9) ** 2 < 1
    squares = 0.3 * ((np.abs(x) < 0.3) & (np.abs(y - 0.3) < 0.2)) - 0.3 * (np.hypot(x, y) < 0.2)
    return (inside * (0.7 + squares) * np.exp(1j * smooth_phase(SHAPE))).astype(np.complex64)


def coil_operator() -> CoilFourier:
    return CoilFourier(mask=torch.as_tensor(MASK), maps=torch.as_tensor(MAPS))


def coil_problem(noise_std: float = STD) -> Problem:
    return simulate(coil_operator(), image(), noise_std=noise_std, seed=0)


def samples(problem: Problem) -> np.ndarray:
    """Return the measurement as complex samples ``(coil, row, column)``."""
    return torch.complex(problem.y[0], problem.y[1]).numpy()


def as_complex(x: torch.Tensor) -> np.ndarray:
    return torch.complex(x[0], x[1]).numpy()


def relative_error(found: Array, wanted: Array) -> float:
    found, wanted = np.asarray(found), np.asarray(wanted)
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
