"""Checks of images and probabilities, shared by metrics and diagnostics."""

import numpy as np


def check_images(what: str, images: np.ndarray) -> None:
    """Raise if anything is not finite, saying how much.

    Raises:
        ValueError: If an entry is NaN or infinite.
    """
    bad = int(images.size - np.isfinite(images).sum())
    if bad:
        raise ValueError(
            f"{what} hold {bad} values that are NaN or infinite out of {images.size}; a sampler "
            "that fails on a scene must be fixed, not left out of its own test."
        )


def check_level(name: str, level: float) -> None:
    """Raise unless a probability lies strictly between 0 and 1.

    Raises:
        ValueError: If it does not.
    """
    if not 0 < level < 1:
        raise ValueError(
            f"{name} is a probability between 0 and 1, both excluded, got {level}; "
            "90 % is written 0.9."
        )
