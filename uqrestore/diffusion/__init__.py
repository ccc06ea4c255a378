"""Diffusion: noise levels, preconditioned denoisers, samplers, posterior moments, losses."""

from uqrestore.diffusion.denoiser import (
    Denoiser,
    FunctionDenoiser,
    NetworkDenoiser,
    Preconditioning,
    as_denoiser,
)
from uqrestore.diffusion.external import ExternalDenoiser
from uqrestore.diffusion.external_check import NetworkCheck, check_network
from uqrestore.diffusion.external_wrap import wrap
from uqrestore.diffusion.jacobian import jacobian_components
from uqrestore.diffusion.losses import denoising_loss
from uqrestore.diffusion.posterior_mean import PosteriorMoments, posterior_moments
from uqrestore.diffusion.samplers import sample_heun
from uqrestore.diffusion.schedules import Schedule, karras_sigmas, noise_levels
from uqrestore.diffusion.windowed import WindowedDenoiser
from uqrestore.diffusion.wrapped import WrappedDenoiser

__all__ = [
    "Denoiser",
    "ExternalDenoiser",
    "FunctionDenoiser",
    "NetworkCheck",
    "NetworkDenoiser",
    "PosteriorMoments",
    "Preconditioning",
    "Schedule",
    "WindowedDenoiser",
    "WrappedDenoiser",
    "as_denoiser",
    "check_network",
    "denoising_loss",
    "jacobian_components",
    "karras_sigmas",
    "noise_levels",
    "posterior_moments",
    "sample_heun",
    "wrap",
]
