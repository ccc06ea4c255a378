"""Scores of a restored image against a known truth, and distances between sets of images."""

from uqrestore.metrics.consistent import make_consistent
from uqrestore.metrics.features import Features, ScatteringFeatures
from uqrestore.metrics.frechet import (
    FrechetDistance,
    KernelDistance,
    frechet_distance,
    kernel_distance,
)
from uqrestore.metrics.image import Quality, image_quality, magnitude, nmse, psnr, ssim

__all__ = [
    "Features",
    "FrechetDistance",
    "KernelDistance",
    "Quality",
    "ScatteringFeatures",
    "frechet_distance",
    "image_quality",
    "kernel_distance",
    "magnitude",
    "make_consistent",
    "nmse",
    "psnr",
    "ssim",
]
