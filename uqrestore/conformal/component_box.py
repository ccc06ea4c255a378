"""A region of whole images: a box along the components, a ball for everything else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from uqrestore.conformal.calibrate import check_scenes_differ, unit_of
from uqrestore.conformal.guarantee import Guarantee
from uqrestore.conformal.predictions import by_unit
from uqrestore.conformal.scope import Scope, Setting
from uqrestore.conformal.widths import split_conformal
from uqrestore.diagnostics.scenes import scene_keys
from uqrestore.metrics._checks import check_images
from uqrestore.operators.base import LinearOperator
from uqrestore.priors.dense import matrix_of

Images = Float[np.ndarray, "scene *image"]

LEAST_RESIDUAL = 0.01
"""Share of the variance that components are never taken to hold: theirs is an estimate as well."""


@dataclass(frozen=True, eq=False)
class ComponentPredictions:
    """Posterior components predicted for scenes of known truth.

    Args:
        truth: One image per scene.
        centre: Posterior mean, from the measurement and the draws alone, as all that follows.
        directions: Orthonormal components.
        std: Predicted standard deviation along each, above 0.
        residual: Predicted norm of the error outside of the components, above 0.
        operator: Given for noise-free measurements, where components must fit the null space.
        groups: Person of each scene; people are then the exchangeable units, and a box must hold
            the truth in all slices of a person.

    Raises:
        ValueError: If shapes disagree, directions are not orthonormal, or there are more of them
            than pixels or than dimensions of the null space.
    """

    truth: Images
    centre: Float[np.ndarray, "..."]
    directions: Float[np.ndarray, "..."]  # (scene, component, *image)
    std: Float[np.ndarray, "scene component"]
    residual: Float[np.ndarray, " scene"]
    operator: LinearOperator | None = None
    groups: Int[np.ndarray, " scene"] | None = None

    def __post_init__(self) -> None:
        n, image = len(self.truth), self.truth.shape[1:]
        pixels, count = int(np.prod(image)), self.std.shape[1]
        for what in ("truth", "centre", "directions", "std", "residual"):
            check_images(f"the {what}", getattr(self, what))
        if self.centre.shape != self.truth.shape or self.directions.shape != (n, count, *image):
            raise ValueError(
                f"for a truth of shape {self.truth.shape} and {count} components, centre must be "
                f"the same and directions {(n, count, *image)}, but they are {self.centre.shape} "
                f"and {self.directions.shape}."
            )
        if count > pixels:
            raise ValueError(f"{count} components of {pixels} pixels cannot be orthogonal.")
        if self.operator is not None:
            check_fits_null_space(count, self.operator)
        if not ((self.std > 0).all() and (self.residual > 0).all()):
            raise ValueError("predicted std and residual must be above 0 to be stretched.")
        rows = self._rows
        gap = np.abs(rows @ rows.swapaxes(-1, -2) - np.eye(count)).max(initial=0)
        if gap > 1e-3:
            raise ValueError(
                f"directions must be orthonormal in each scene but their products miss by "
                f"{gap:.2g}; normalise them and put the length into std."
            )

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def _rows(self) -> Float[np.ndarray, "scene component pixel"]:
        return self.directions.reshape(*self.directions.shape[:2], -1).astype(np.float64)

    @property
    def z(self) -> Float[np.ndarray, "scene component"]:
        """Error along each component in predicted standard deviations."""
        return self._along / self.std

    @property
    def outside(self) -> Float[np.ndarray, " scene"]:
        """Norm of the error outside of the components, as a multiple of the predicted one."""
        error = (self.truth - self.centre).reshape(len(self), -1)
        rest = error - np.einsum("sk,skp->sp", self._along, self._rows)
        return np.linalg.norm(rest, axis=1) / self.residual

    @property
    def _along(self) -> Float[np.ndarray, "scene component"]:
        error = (self.truth - self.centre).reshape(len(self), -1)
        return np.einsum("skp,sp->sk", self._rows, error)


def calibrate_box(
    components: ComponentPredictions,
    settings: Sequence[Setting],
    *,
    alpha: float = 0.1,
    residual_part: float = 0.2,
) -> Guarantee:
    r"""Choose the half-widths of a box that holds the truth along all components *at once*.

    .. math:: \{ x : |v_k^T (x - m)| \le q_1 \sigma_k \; \forall k, \;
              \|(I - V V^T)(x - m)\| \le q_2 \rho \}

    Two split conformal scores, the largest :math:`|z_k|` and the residual, share ``alpha``; a
    union bound makes the guarantee simultaneous at any number of scenes.

    Args:
        components: Of the calibration scenes.
        settings: How they were measured and restored.
        alpha: Probability that the truth leaves the region anywhere.
        residual_part: Part of ``alpha`` that the residual may use.

    Raises:
        ValueError: If there are too few scenes, saying how many it takes.
    """
    keys = scene_keys(components.truth)
    check_scenes_differ(keys)
    largest = by_unit(np.abs(components.z).max(axis=1), components.groups, np.max)
    outside = by_unit(components.outside, components.groups, np.max)
    along, rest = box_widths(largest, outside, alpha, residual_part=residual_part)
    return Guarantee(
        method="component_box",
        alpha=alpha,
        delta=None,
        bound=None,
        share=1.0,
        widths={"component": along, "residual": rest},
        components=components.std.shape[1],
        keys=keys,
        unit=unit_of(components.groups, len(keys)),
        units=len(largest),
        scope=Scope.covering(settings),
    )


def box_widths(
    largest: Float[np.ndarray, " scene"],
    outside: Float[np.ndarray, " scene"],
    alpha: float,
    *,
    residual_part: float = 0.2,
) -> tuple[float, float]:
    """Return the half-width along the components and the radius outside; see `calibrate_box`.

    Args:
        largest: Largest ``|z|`` of each calibration scene.
        outside: Error outside of the components over the predicted one.
        alpha: Probability that the truth leaves the region anywhere.
        residual_part: Part of ``alpha`` that the residual may use.

    Raises:
        ValueError: If there are too few scenes, saying how many it takes.
    """
    if not 0 < residual_part < 1:
        raise ValueError(f"residual_part is a part of alpha, between 0 and 1, got {residual_part}.")
    return (
        split_conformal(largest, alpha * (1 - residual_part)),
        split_conformal(outside, alpha * residual_part),
    )


def predicted_residual(
    std: Float[np.ndarray, "slice ..."], pc_std: Float[np.ndarray, "component slice"]
) -> Float[np.ndarray, " slice"]:
    """Return the norm that the error outside of the components is expected to have.

    Args:
        std: Posterior standard deviation of every pixel, shape ``(slice, *image)``.
        pc_std: Along each component, in the same unit.

    Returns:
        Root of the variance that the components leave, at least :data:`LEAST_RESIDUAL` of all.
    """
    total = np.stack([np.square(one, dtype=np.float64).sum() for one in std])
    rest = total - np.square(pc_std, dtype=np.float64).sum(axis=0)
    return np.sqrt(np.maximum(rest, LEAST_RESIDUAL * total))


def inside_box(
    components: ComponentPredictions, guarantee: Guarantee
) -> Bool[np.ndarray, " scene"]:
    """Indicator of the truths that lie in their region.

    Raises:
        ValueError: If the guarantee is not a box of as many components.
    """
    count = components.std.shape[1]
    if guarantee.method != "component_box" or guarantee.components != count:
        raise ValueError(
            f"the guarantee is a {guarantee.method} of {guarantee.components} components; wanted "
            f"a component_box of {count}."
        )
    along = np.abs(components.z).max(axis=1) <= guarantee.widths["component"]
    return along & (components.outside <= guarantee.widths["residual"])


def check_fits_null_space(count: int, operator: LinearOperator) -> None:
    """Raise if a noise-free measurement leaves fewer directions open than there are components.

    Raises:
        ValueError: With the dimension of the smallest null space of the batch.
    """
    spectrum = operator.spectral()
    if spectrum is not None:
        rank = int((spectrum.s > 1e-6 * spectrum.s.amax(-1, keepdim=True)).sum(-1).max())
    else:
        rank = int(torch.linalg.matrix_rank(matrix_of(operator)).max())
    free = int(np.prod(operator.in_shape)) - rank
    if count > free:
        raise ValueError(
            f"{count} components were asked for but without noise {operator.name} leaves only "
            f"{free} directions open (its null space); ask for fewer."
        )
