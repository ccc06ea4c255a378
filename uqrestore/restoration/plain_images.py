"""Images of measurements without a trained prior."""

import numpy as np
import torch
from jaxtyping import Float

from uqrestore.methods.plain_image import white_mode
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.posterior.general_acquisition import GeneralAcquisition
from uqrestore.problem.counts import plain_attenuation


def without_prior(
    acquisition: Acquisition | GeneralAcquisition,
) -> Float[np.ndarray, "slice channel row column"]:
    """Return the image of every measurement without a prior that was trained, in file units.

    The minimum-norm image of linear measurements, the filtered back-projection of counts, and
    otherwise the most probable image under a white prior.
    """
    if isinstance(acquisition, Acquisition):
        return acquisition.zero_filled().cpu().numpy()
    images = []
    for index in acquisition.slices:  # one at a time, so that the batch changes nothing
        problem = acquisition.problem([index])
        image = plain_attenuation(problem)
        images.append(white_mode(problem) if image is None else image)
    return acquisition.intensity.to_file(torch.cat(images)).float().numpy()
