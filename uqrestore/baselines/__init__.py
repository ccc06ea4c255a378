"""Conventional reconstructions to compare a posterior with, by their names in pipelines."""

from collections.abc import Callable, Mapping

from torch import Tensor

from uqrestore.baselines.cg_sense import cg_sense
from uqrestore.baselines.filtered_back_projection import filtered_back_projection
from uqrestore.baselines.kspace import reconstruct
from uqrestore.baselines.l1_wavelet import l1_wavelet
from uqrestore.baselines.total_variation import total_variation
from uqrestore.baselines.weights import default_weight

BASELINES: Mapping[str, Callable[..., Tensor]] = {
    "cg_sense": cg_sense,
    "filtered_back_projection": filtered_back_projection,
    "l1_wavelet": l1_wavelet,
    "total_variation": total_variation,
}
"""Functions of a problem and options, which return images in the units of its measurement."""

__all__ = [
    "BASELINES",
    "cg_sense",
    "default_weight",
    "filtered_back_projection",
    "l1_wavelet",
    "reconstruct",
    "total_variation",
]
