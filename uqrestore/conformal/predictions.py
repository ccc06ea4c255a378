"""Predicted intervals of scenes with known truth, as conformal methods calibrate them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from uqrestore.diagnostics.scenes import Scenes, scene_keys
from uqrestore.metrics._checks import check_images

Images = Float[np.ndarray, "scene *image"]
Mask = Bool[np.ndarray, "scene *image"]

# A pixel that every draw agrees on still errs by rounding: its std counts as at least this share
# of the scene's root mean square std.
SMALLEST_STD = 1e-3


@dataclass(frozen=True, eq=False)
class Predictions:
    r"""Intervals :math:`m \pm \lambda \hat\sigma` before their width :math:`\lambda` is chosen.

    Args:
        truth: One image per scene.
        centre: :math:`m`, in the unit of the truth; from the measurement and the draws alone.
        scale: :math:`\hat\sigma`, likewise, above 0.
        mask: Pixels that count; all of them if left out.
        groups: Person of each scene. Exchangeable units are then people: a score is the largest
            of a person's slices, a loss their mean. Every scene is a unit if left out.

    Raises:
        ValueError: If shapes disagree, anything is NaN, a scale is not positive, there are fewer
            than two scenes, or the mask leaves a scene empty.
    """

    truth: Images
    centre: Float[np.ndarray, "..."]
    scale: Float[np.ndarray, "..."]
    mask: Bool[np.ndarray, "..."] | None = None
    groups: Int[np.ndarray, " _"] | None = None

    def __post_init__(self) -> None:
        for what, images in (("centre", self.centre), ("scale", self.scale), ("mask", self.mask)):
            if images is not None and images.shape != self.truth.shape:
                raise ValueError(
                    f"the {what} must be one image per scene like the truth, {self.truth.shape}, "
                    f"but has shape {images.shape}."
                )
        for what, images in (("truth", self.truth), ("centre", self.centre), ("scale", self.scale)):
            check_images(f"the {what}", images)
        if len(self.truth) < 2:
            raise ValueError(f"calibration needs at least 2 scenes, got {len(self.truth)}.")
        if not (self.scale > 0).all():
            raise ValueError(
                f"{int((self.scale <= 0).sum())} entries of the scale are 0 or less; an interval "
                "of no width cannot be stretched. Give those pixels a small std."
            )
        if self.groups is not None and len(self.groups) != len(self.truth):
            raise ValueError(
                f"groups must name the person of each of the {len(self.truth)} scenes but has "
                f"{len(self.groups)} entries."
            )
        if self.mask is not None and not self.mask.reshape(len(self.mask), -1).any(1).all():
            raise ValueError("the mask leaves no pixel in at least one scene; drop that scene.")

    @classmethod
    def from_scenes(cls, scenes: Scenes, *, mask: Mask | None = None) -> "Predictions":
        """Mean and standard deviation of the draws, and the person of each scene."""
        std = floored_std(scenes.variance)
        return cls(scenes.truth, scenes.mean, std, mask, scenes.groups)

    @property
    def units(self) -> int:
        """Number of exchangeable units: people, or scenes where no person is named."""
        return len(self) if self.groups is None else len(np.unique(self.groups))

    def __len__(self) -> int:
        return len(self.truth)

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """One hash per scene, by which it is known again."""
        return scene_keys(self.truth)

    @functools.cached_property
    def errors(self) -> list[Float[np.ndarray, " pixel"]]:
        """Sorted absolute errors of each scene's pixels, in predicted standard deviations."""
        rows = []
        for scene in range(len(self)):
            error = np.abs(self.truth[scene] - self.centre[scene]) / self.scale[scene]
            rows.append(np.sort(error.ravel() if self.mask is None else error[self.mask[scene]]))
        return rows

    def scores(self, *, share: float = 1.0) -> Float[np.ndarray, " scene"]:
        """Width at which this share of a unit's pixels is inside, in each of its scenes.

        Args:
            share: Share of the pixels of a scene; 1 for all of them.

        Raises:
            ValueError: If the share is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share is a part of the pixels, above 0 and at most 1, got {share}.")
        widths = [row[int(np.ceil(share * len(row) - 1e-9)) - 1] for row in self.errors]
        return by_unit(np.array(widths), self.groups, np.max)

    def misses(self, widths: Float[np.ndarray, " width"]) -> Float[np.ndarray, "scene width"]:
        """Share of each unit's pixels outside of intervals of each width, mean of its scenes."""
        outside = [1 - np.searchsorted(row, widths, side="right") / len(row) for row in self.errors]
        return by_unit(np.stack(outside), self.groups, np.mean)


def by_unit(
    values: Float[np.ndarray, "scene ..."],
    groups: Int[np.ndarray, " scene"] | None,
    reduce: Callable[..., np.ndarray],
) -> Float[np.ndarray, "unit ..."]:
    """Reduce the values of the scenes of each person to one; no groups leave them as they are."""
    if groups is None:
        return values
    return np.stack([reduce(values[groups == person], axis=0) for person in np.unique(groups)])


def floored_std(variance: Images) -> Images:
    """Turn variances into standard deviations that are never 0.

    Raises:
        ValueError: If a scene has no variance anywhere.
    """
    std = np.sqrt(variance)
    rms = np.sqrt(variance.reshape(len(variance), -1).mean(1))
    still = np.flatnonzero(rms == 0)
    if len(still):
        raise ValueError(
            f"all draws of scenes {still[:5].tolist()} are equal; there is no spread to calibrate."
        )
    return np.maximum(std, SMALLEST_STD * rms.reshape(-1, *[1] * (variance.ndim - 1)))
