"""Restoration methods, by their names in pipelines."""

from collections.abc import Callable, Mapping

from torch import Tensor

from uqrestore.methods._checks import require_noise_free, require_range
from uqrestore.methods._method import Method, method
from uqrestore.methods.conditional import conditional, exact
from uqrestore.methods.daps import daps
from uqrestore.methods.ddnm import ddnm
from uqrestore.methods.ddrm import ddnm_plus, ddrm
from uqrestore.methods.diffpir import diffpir
from uqrestore.methods.dps import dps
from uqrestore.methods.fitted_gaussian import fitted_gaussian
from uqrestore.methods.fitted_joint import draw_fitted_in_detail
from uqrestore.methods.local_gaussian import local_gaussian
from uqrestore.methods.local_laplace import (
    STATISTICS,
    draw_in_detail,
    draw_jointly,
    local_laplace,
)
from uqrestore.methods.moment_matching import moment_matching
from uqrestore.methods.pigdm import pigdm
from uqrestore.methods.ssd import ssd, ssd_plus
from uqrestore.methods.twisted_particles import Evidence, evidence

METHODS: Mapping[str, Method] = {
    "conditional": conditional,
    "daps": daps,
    "ddnm": ddnm,
    "ddnm_plus": ddnm_plus,
    "ddrm": ddrm,
    "diffpir": diffpir,
    "dps": dps,
    "exact": exact,
    "fitted_gaussian": fitted_gaussian,
    "local_gaussian": local_gaussian,
    "local_laplace": local_laplace,
    "moment_matching": moment_matching,
    "pigdm": pigdm,
    "ssd": ssd,
    "ssd_plus": ssd_plus,
}

IN_DETAIL: Mapping[str, Callable[..., tuple[Tensor, dict[str, Tensor]]]] = {
    "fitted_gaussian": draw_fitted_in_detail,
    "local_laplace": draw_in_detail,
}
"""Methods that draw unknown parameters with the image, by functions that return them too."""

__all__ = [
    "IN_DETAIL",
    "METHODS",
    "STATISTICS",
    "Evidence",
    "Method",
    "conditional",
    "daps",
    "ddnm",
    "ddnm_plus",
    "ddrm",
    "diffpir",
    "dps",
    "draw_in_detail",
    "draw_jointly",
    "evidence",
    "exact",
    "fitted_gaussian",
    "local_gaussian",
    "local_laplace",
    "method",
    "moment_matching",
    "pigdm",
    "require_noise_free",
    "require_range",
    "ssd",
    "ssd_plus",
]
