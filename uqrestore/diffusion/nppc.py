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

FAINTEST = 1e-6
"""Variance that no component falls below, as a share of the scale of the squared error."""
LOUDEST = 50.0
"""Largest squared error of a component, in predicted variances, that its length listens to."""
TINY = 1e-12
"""Length below which a raw component has no direction yet."""


def gram_schmidt(raw: Stack) -> tuple[Stack, Float[Tensor, " *batch_and_component"]]:
    """Make raw components orthogonal, in order.

    What is taken off a later component is a constant to the gradient, so a later one never moves
    an earlier one: they come out in the order of their variance.

    Args:
        raw: Outputs of the network, ``(*batch, component, channel, row, column)``.

    Returns:
        Unit directions, and the length of what was left of each: its standard deviation.
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


def unmeasured(raw: Stack, problem: Problem) -> Stack:
    """Take off components what the measurement knows without noise: it has no width there."""
    return problem.project_null(raw.movedim(-4, 0)).movedim(0, -4)


def along(directions: Stack, error: Image) -> Float[Tensor, "batch component"]:
    """Return the error along each direction."""
    return torch.einsum("bkp,bp->bk", directions.flatten(2), error.flatten(1))


def direction_loss(directions: Stack, error: Image) -> PerImage:
    """Share of the squared error that no direction explains; the error is a constant."""
    energy = error.flatten(1).square().sum(1).clamp(min=TINY)
    return 1 - along(directions, error).square().sum(1) / energy


def variance_loss(
    directions: Stack, std: Float[Tensor, "batch component"], error: Image, scale: PerImage
) -> PerImage:
    r"""Squared distance of each variance from the squared error along its direction.

    .. math:: \frac1K \sum_k \left( \frac{\sigma_k^2 - \langle u_k, e \rangle^2}{\rho^2} \right)^2

    With :math:`\rho^2` constant over images that could have been measured alike, the minimiser is
    the posterior variance along :math:`u_k`. As published, :math:`\rho^2` is the squared error of
    the very image, and the minimiser is up to three times too small.

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
    r"""Follow the likelihood of the error along each direction, were it Gaussian.

    Down the negative log likelihood of :math:`z_k = \langle u_k, e \rangle / \sigma_k` the standard
    deviation moves by :math:`(z_k^2 - 1) / \sigma_k`, at rest where :math:`\sigma_k^2` is the
    posterior variance along :math:`u_k`, whatever the law and whatever :math:`\rho`. Here it moves
    by :math:`(z_k^2 - 1) / \rho`, :math:`z_k^2` at most :data:`LOUDEST`: the factor depends on no
    truth, so the minimiser is the same, but where two raw components nearly coincide, and the
    second is left with next to no length, the slope is bounded and does not drown everything else
    that the network learns. Directions that hold a hundredth of the error are learned too, where
    :func:`variance_loss`, the square of squares, has no slope left. Arguments are those of
    :func:`variance_loss`; the value means nothing, only its gradient does.
    """
    wanted = along(directions, error).square()
    variance = std.square() + FAINTEST * scale[:, None]
    pull = 1 - (wanted / variance).clamp(max=LOUDEST)
    return (pull.detach() * std / scale.sqrt()[:, None]).mean(1)


class ErrorScale:
    """The scale of squared errors that makes the loss of all operators alike.

    Args:
        kind: ``running``: a moving average for each kind of problem, which leaves the minimiser
            unbiased. ``per_image``: the image's own, as published. ``none``: 1.
        keep: Share of the average that a new value leaves.
    """

    def __init__(self, kind: ErrorNorm = "running", keep: float = 0.98) -> None:
        self.kind, self.keep = kind, keep
        self.average: dict[str, float] = {}

    def __call__(self, error: Image, groups: Mapping[str, Tensor]) -> PerImage:
        """Return the scale of each image.

        Args:
            error: Truth minus estimate.
            groups: Which images of the batch are of each kind of problem.
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
