"""Baselines of k-space that is given as complex arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uqrestore.operators import CoilFourier
from uqrestore.operators._arrays import Array, as_tensor
from uqrestore.operators._fourier import as_complex
from uqrestore.problem import Problem


def reconstruct(
    baseline: Callable[..., Tensor],
    kspace: Array,
    mask: Array,
    maps: Array,
    *,
    noise_std: float = 0.0,
    **options: Any,  # noqa: ANN401 - those of the baseline
) -> Array:
    """Reconstruct one slice of Cartesian k-space that is given as arrays.

    Args:
        baseline: ``cg_sense``, ``l1_wavelet`` or ``total_variation``.
        kspace: Complex samples, shape ``(coil, row, column)``; zero frequency in the middle,
            orthonormal transform. What the mask leaves out is ignored.
        mask: Sampled frequencies, shape ``(row, column)``, or ``(column,)``.
        maps: Complex coil sensitivities, shape ``(coil, row, column)``.
        noise_std: Standard deviation of the noise per real component, in the units of the samples;
            the default weight follows from it.
        **options: Of the baseline, such as ``weight=0.003`` and ``iterations=100``.

    Returns:
        The complex image, shape ``(row, column)``, in the units of the samples; a NumPy array,
        or a tensor if the samples are one.

    Raises:
        ImportError: If sigpy is not installed (extra ``mri``).
        ValueError: If shapes disagree, or a sample is NaN or infinite.
    """
    samples, sensitivities = (as_tensor(values).to(torch.complex64) for values in (kspace, maps))
    sampled = as_tensor(mask).bool()
    size = samples.shape[1:]
    if (
        samples.ndim != 3
        or sensitivities.shape != samples.shape
        or sampled.shape not in (size, size[1:])
    ):
        raise ValueError(
            "wants kspace and maps (coil, row, column) of one shape and a mask (row, column) or "
            f"(column,), but got kspace {tuple(samples.shape)}, maps {tuple(sensitivities.shape)} "
            f"and mask {tuple(sampled.shape)}."
        )
    sampled = sampled.expand(size)
    problem = Problem(CoilFourier(mask=sampled, maps=sensitivities), samples * sampled, noise_std)
    image = as_complex(baseline(problem, **options))
    return image if isinstance(kspace, Tensor) else np.asarray(image)
