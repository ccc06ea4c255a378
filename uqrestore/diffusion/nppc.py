r"""Neural posterior principal components: from raw network outputs to directions and variances.

References:
    Nehme, Yair & Michaeli, "Uncertainty Quantification via Neural Posterior Principal
    Components", NeurIPS 2023. arXiv:2309.15533
"""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.problem import Problem

ErrorNorm = Literal["running", "per_image", "none"]
Stack = Float[Tensor, "*batch component channel row column"]
Image = Float[Tensor, "batch channel row column"]
PerImage = Float[Tensor, " batch"]

MIN_VARIANCE = 1e-6
"""Smallest variance of a component, relative to the scale of the squared error."""
MAX_RATIO = 50.0
"""Largest ratio of squared error to predicted variance that enters the gradient of a length."""
TINY = 1e-12
"""Length below which a raw component has no direction."""


def gram_schmidt(raw: Stack) -> tuple[Stack, Float[Tensor, " *batch_and_component"]]:
    """Orthogonalise raw components in order.

    The projections removed from a later component are constants to the gradient, so a later one
    never changes an earlier one: they are learned in the order of their variance.

    Args:
        raw: Outputs of the network, ``(*batch, component, channel, row, column)``.

    Returns:
        Unit directions, and the remaining length of each, its standard deviation.
    """
    directions, lengths, earlier = [], [], []
    for component in raw.flatten(-3).unbind(-2):
        left = component
        for unit in earlier:
            left = left - (left * unit).sum(-1, keepdim=True) * unit
        length = left.norm(dim=-1, keepdim=True)
        unit = left / length.clamp(min=TINY)
        earlier.append(unit.detach())
        directions.append(unit)
        lengths.append(length[..., 0])
    stacked = torch.stack(directions, -2).unflatten(-1, raw.shape[-3:])
    return stacked, torch.stack(lengths, -1)


def null_space_components(raw: Stack, problem: Problem) -> Stack:
    """Project components onto the null space of A where the measurement has no noise."""
    return problem.project_null(raw.movedim(-4, 0)).movedim(0, -4)


def along(directions: Stack, error: Image) -> Float[Tensor, "batch component"]:
    """Return the error along each direction."""
    return torch.einsum("bkp,bp->bk", directions.flatten(2), error.flatten(1))


def direction_loss(directions: Stack, error: Image) -> PerImage:
    """Return the fraction of squared error outside the directions; the error is a constant."""
    energy = error.flatten(1).square().sum(1).clamp(min=TINY)
    return 1 - along(directions, error).square().sum(1) / energy


def variance_loss(
    directions: Stack, std: Float[Tensor, "batch component"], error: Image, scale: PerImage
) -> PerImage:
    r"""Squared distance of each variance from the squared error along its direction.

    .. math:: \frac1K \sum_k \left( \frac{\sigma_k^2 - \langle u_k, e \rangle^2}{\rho^2} \right)^2

    With :math:`\rho^2` constant over images of the same measurement, the minimiser is the posterior
    variance along :math:`u_k`. As published, :math:`\rho^2` is the squared error of the image
    itself, and the minimiser is up to three times too small.

    Args:
        directions: Unit directions; no gradient passes through them.
        std: Predicted standard deviations.
        error: Truth minus estimate.
        scale: :math:`\rho^2` of each image.
    """
    wanted = along(directions, error).square().detach()
    return ((std.square() - wanted) / scale[:, None]).square().mean(1)


def likelihood_loss(
    directions: Stack, std: Float[Tensor, "batch component"], error: Image, scale: PerImage
) -> PerImage:
    r"""Follow the Gaussian likelihood of the error along each direction.

    Along the negative log likelihood of :math:`z_k = \langle u_k, e \rangle / \sigma_k` the
    standard deviation moves by :math:`(z_k^2 - 1) / \sigma_k`, stationary where :math:`\sigma_k^2`
    is the posterior variance along :math:`u_k`, for any distribution and :math:`\rho`. Here it
    moves by :math:`(z_k^2 - 1) / \rho`, with :math:`z_k^2` at most :data:`MAX_RATIO`: the factor is
    independent of the truth, so the minimiser is the same, but where two raw components nearly
    coincide and the second has almost no length, the gradient is bounded and does not dominate the
    training. Directions with a hundredth of the error are learned too, where the gradient of
    :func:`variance_loss`, a fourth power, vanishes. Arguments are those of :func:`variance_loss`;
    only the gradient is meaningful, not the value.
    """
    wanted = along(directions, error).square()
    variance = std.square() + MIN_VARIANCE * scale[:, None]
    pull = 1 - (wanted / variance).clamp(max=MAX_RATIO)
    return (pull.detach() * std / scale.sqrt()[:, None]).mean(1)


class ErrorScale:
    """Scale of squared errors that equalises the loss over operators.

    Args:
        kind: ``running``: a moving average for each kind of problem, which leaves the minimiser
            unbiased. ``per_image``: that of each image, as published. ``none``: 1.
        keep: Weight of the previous average in the moving average.
    """

    def __init__(self, kind: ErrorNorm = "running", keep: float = 0.98) -> None:
        self.kind, self.keep = kind, keep
        self.average: dict[str, float] = {}

    def __call__(self, error: Image, groups: Mapping[str, Tensor]) -> PerImage:
        """Return the scale of each image.

        Args:
            error: Truth minus estimate.
            groups: Indices of the images of each kind of problem.
        """
        energy = error.detach().flatten(1).square().sum(1)
        if self.kind == "none":
            return torch.ones_like(energy)
        if self.kind == "per_image":
            return energy.clamp(min=TINY)
        scale = torch.ones_like(energy)
        for name, chosen in groups.items():
            new = float(energy[chosen].mean())
            known = self.average.get(name, new)  # of images before these, so independent of them
            scale[chosen] = max(known, TINY)
            self.average[name] = self.keep * known + (1 - self.keep) * new
        return scale
