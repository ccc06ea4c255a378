"""How much noise it takes until nothing of an image is left to see."""

import torch

from uqrestore.training.data import Images

STEPS = 40
"""Power iterations; the largest variance of images stands well apart."""


def drowning_level(images: Images) -> float:
    r"""Return ten times the root of the largest variance of images along any direction.

    One call at pure noise of level :math:`\sigma` exceeds the least mean square error by about
    :math:`\sum_i \lambda_i^2 / \sigma^2` over the posterior variances, none of which is larger
    than the largest of the prior: at ten times its root, that is at most a hundredth of the sum.

    Args:
        images: Many, network units.

    Returns:
        The level, network units, rounded up to a whole number.
    """
    centred = (images - images.mean(0)).flatten(1).double()
    direction = centred[centred.square().sum(1).argmax()]
    variance = torch.zeros(())
    for _ in range(STEPS):
        direction = centred.T @ (centred @ direction) / len(centred)
        variance = direction.norm()
        direction = direction / variance.clamp(min=1e-30)
    return float((10 * variance.sqrt()).ceil().clamp(min=1))
