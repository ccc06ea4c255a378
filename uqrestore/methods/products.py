"""A denoiser together with the products of its Jacobian."""

from collections.abc import Callable

import torch
from torch import Tensor

from uqrestore.methods.step import Checked

Product = Callable[[Tensor], Tensor]


def linearise(denoise: Checked, x: Tensor, sigma: float) -> tuple[Tensor, Product]:
    r"""Return ``D(x)`` and the map :math:`v \mapsto J^T v`, :math:`J = \partial D / \partial x`.

    For the ideal denoiser :math:`J = \mathrm{Cov}[x_0 \mid x_t] / \sigma^2`, which is symmetric.
    Each product is one backward pass; the graph lives until the map is dropped.
    """
    x = x.detach()
    with torch.enable_grad():
        x.requires_grad_(True)
        clean = denoise(x, sigma)

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad(clean, x, v, retain_graph=True)[0]

    return clean.detach(), product
