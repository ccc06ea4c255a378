"""How well a denoiser denoises held-out images, beside two that anyone can have."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from uqrestore.diffusion.preconditioning import Preconditioning
from uqrestore.training.data import Images, step_generator

Denoise = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def denoising_table(
    denoisers: dict[str, Denoise], images: Images, sigmas: Sequence[float], sigma_data: float
) -> list[dict[str, float]]:
    """Mean square error per pixel at each noise level, the same noise for all.

    Args:
        denoisers: ``(x_t, sigma) -> E[x0 | x_t]`` by name.
        images: Held-out images in network units.
        sigmas: Noise levels.
        sigma_data: Of the row ``c_skip``, the shrunken input ``c_skip x_t``.

    Returns:
        One row a noise level: ``sigma``, an error for each name, and for ``c_skip``.
    """
    noise = torch.randn(images.shape, generator=step_generator(0, 3))
    rows = []
    for level in sigmas:
        sigma = torch.tensor(level)
        x_t = images + sigma * noise
        c_skip = Preconditioning(sigma_data).scalings(sigma)[0]
        found = {name: denoise(x_t, sigma) for name, denoise in denoisers.items()}
        found["c_skip"] = c_skip * x_t
        errors = {name: float((x - images).square().mean()) for name, x in found.items()}
        rows.append({"sigma": level, **{name: round(e, 6) for name, e in errors.items()}})
    return rows
