"""Scenes with known truth and posterior draws: what every calibration test is given."""

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from uqrestore.metrics._checks import check_images
from uqrestore.problem import Problem

Images = Float[np.ndarray, "scene *image"]


@dataclass(frozen=True, eq=False)
class Scenes:
    """Truths and the draws that claim to come from their posteriors.

    A scene is one exchangeable unit. Pixels of one image are not; slices of one person are not
    either, unless the claim is about new slices of the same people. Give ``groups`` where scenes
    share a person: intervals then resample people.

    Args:
        truth: One image per scene.
        draws: Posterior draws, in the unit of the truth.
        problem: The measurements, one problem per scene, where a statistic needs them.
        unit: Unit of the draws.
        truth_unit: Unit of the truth.
        groups: The person each scene comes from; every scene its own if left out.

    Raises:
        ValueError: If there are fewer than two scenes or draws, shapes or units disagree, or
            anything is NaN or infinite.
    """

    truth: Images
    draws: Float[np.ndarray, "draw ..."]
    problem: Problem | None = None
    unit: str = ""
    truth_unit: str = ""
    groups: Int[np.ndarray, " _"] | None = None

    def __post_init__(self) -> None:
        check_images("the truth", self.truth)
        check_images("the draws", self.draws)
        if self.draws.shape[1:] != self.truth.shape:
            raise ValueError(
                f"the truth has shape {self.truth.shape} (scene, *image), so draws must be (draw, "
                f"{', '.join(map(str, self.truth.shape))}), but they are {self.draws.shape}."
            )
        if len(self.truth) < 2:
            raise ValueError(
                "calibration compares scenes and needs at least 2 of them, got "
                f"{len(self.truth)}; the pixels of one scene do not count as scenes."
            )
        if len(self.draws) < 2:
            raise ValueError(
                f"a spread needs at least 2 draws per scene, got {len(self.draws)}; draw more."
            )
        if self.unit != self.truth_unit:
            raise ValueError(
                f"the draws are in {self.unit or 'no unit'!r} but the truth is in "
                f"{self.truth_unit or 'no unit'!r}; convert one of them."
            )
        if self.groups is not None and len(self.groups) != len(self.truth):
            raise ValueError(
                f"groups names the person of each scene: {len(self.groups)} for "
                f"{len(self.truth)} scenes."
            )
        if self.problem is not None:
            want = (len(self.truth),), self.truth.shape[1:]
            if (self.problem.problem_shape, self.problem.in_shape) != want:
                raise ValueError(
                    f"the problem has batch {self.problem.problem_shape} of images "
                    f"{self.problem.in_shape} but there are {len(self.truth)} scenes of images "
                    f"{self.truth.shape[1:]}."
                )

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def people(self) -> int:
        """Number of people; every scene is a person where no groups are given."""
        return len(self) if self.groups is None else len(np.unique(self.groups))

    @property
    def draw_count(self) -> int:
        """Draws per scene."""
        return len(self.draws)

    @functools.cached_property
    def mean(self) -> Images:
        """Mean of the draws, float64."""
        return self.draws.mean(axis=0, dtype=np.float64)

    @functools.cached_property
    def variance(self) -> Images:
        """Unbiased variance of the draws, float64."""
        return self.draws.var(axis=0, ddof=1, dtype=np.float64)

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """One hash per scene: see :func:`scene_keys`."""
        return scene_keys(self.truth)

    def pick(self, index: Int[np.ndarray, " chosen"]) -> "Scenes":
        """Subset of the scenes, such as all but those of one person.

        Raises:
            ValueError: If fewer than two are chosen.
        """
        problem = self.problem
        if problem is not None:
            problem = problem.select(torch.from_numpy(index))
        groups = None if self.groups is None else self.groups[index]
        return Scenes(
            self.truth[index], self.draws[:, index], problem, self.unit, self.truth_unit, groups
        )

    def promote(self, draw: int) -> "Scenes":
        """Put one draw in the place of the truth: scenes of an ideal sampler, with a draw fewer.

        Raises:
            ValueError: If there are only two draws, so that one would be left.
        """
        others = np.delete(self.draws, draw, axis=0)
        return Scenes(
            self.draws[draw], others, self.problem, self.unit, self.truth_unit, self.groups
        )


def scenes_of(
    truth: Tensor, draws: Tensor, problem: Problem | None = None, *, unit: str = ""
) -> Scenes:
    """Wrap what a method returned: truth ``(scene, *image)``, draws ``(draw, scene, *image)``."""
    return Scenes(
        truth.detach().cpu().numpy(), draws.detach().cpu().numpy(), problem, unit, truth_unit=unit
    )


def scene_keys(images: Images) -> tuple[str, ...]:
    """Hash each image, as float32, so that the same scene is known again whatever its type."""
    rows = (np.ascontiguousarray(image, np.float32) for image in images)
    return tuple(hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in rows)
