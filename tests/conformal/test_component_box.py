"""The box holds the truth along all components at once, and the ball the rest."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.conformal.test_guarantee import guarantee
from tests.conformal.test_scope import KNEE
from uqrestore.conformal.component_box import (
    ComponentPredictions,
    calibrate_box,
    check_fits_null_space,
    inside_box,
)
from uqrestore.conformal.guarantee import Guarantee
from uqrestore.operators import Inpainting, MaskedFourier

SHAPE = (1, 5, 4)


def components(scenes: int, seed: int = 0, *, count: int = 3) -> ComponentPredictions:
    """Gaussian errors with a power law; predicted std and residual are off by a factor."""
    g = np.random.default_rng(seed)
    std = 1 / np.arange(1, 21)
    basis = np.linalg.qr(g.standard_normal((scenes, 20, 20)))[0].swapaxes(-1, -2)
    error = np.einsum("sk,skp->sp", std * g.standard_normal((scenes, 20)), basis)
    centre = g.standard_normal((scenes, *SHAPE))
    return ComponentPredictions(
        truth=centre + error.reshape(centre.shape),
        centre=centre,
        directions=basis[:, :count].reshape(scenes, count, *SHAPE),
        std=np.broadcast_to(0.5 * std[:count], (scenes, count)).copy(),
        residual=np.full(scenes, np.sqrt(np.square(std[count:]).sum())),
    )


def test_z_and_residual_split_the_error() -> None:
    c = components(6)
    error = np.square(c.truth - c.centre).reshape(6, -1).sum(1)
    along = np.square(c.z * c.std).sum(1)
    np.testing.assert_allclose(along + np.square(c.outside * c.residual), error)


def test_the_box_covers_new_scenes_though_the_std_was_half() -> None:
    promise = calibrate_box(components(300), [KNEE], alpha=0.2)
    held = inside_box(components(2000, seed=1), promise)

    assert 0.8 - 0.05 < held.mean() < 0.93
    assert promise.widths["component"] > 4
    assert "all 3 components and the residual at once" in promise.statement


def test_both_parts_of_the_region_can_refuse() -> None:
    promise = calibrate_box(components(300), [KNEE])
    c = components(40, seed=2)
    far_along = dataclasses.replace(c, truth=c.centre + 50 * c.std[0, 0] * c.directions[:, 0])
    assert not inside_box(far_along, promise).any()
    outside = components(40, seed=2, count=12).directions[:, 10]
    assert not inside_box(dataclasses.replace(c, truth=c.centre + 9 * outside), promise).any()
    assert inside_box(dataclasses.replace(c, truth=c.centre), promise).all()


def test_the_box_survives_json_and_has_no_pixel_interval() -> None:
    promise = calibrate_box(components(60), [KNEE])
    assert Guarantee.from_json(promise.to_json()) == promise
    with pytest.raises(ValueError, match="no pixel intervals"):
        promise.interval(np.ones(SHAPE), np.ones(SHAPE), KNEE)


def test_other_guarantees_and_other_numbers_of_components_are_refused() -> None:
    with pytest.raises(ValueError, match="is a rcps of 0 components"):
        inside_box(components(5), guarantee())
    with pytest.raises(ValueError, match="of 3 components; wanted a component_box of 4"):
        inside_box(components(5, count=4), calibrate_box(components(60), [KNEE]))


def test_too_few_scenes_are_refused_with_the_number_it_takes() -> None:
    # The residual has a fifth of alpha: 0.02.
    with pytest.raises(ValueError, match="it takes at least 49"):
        calibrate_box(components(48), [KNEE], alpha=0.1)
    with pytest.raises(ValueError, match="part of alpha"):
        calibrate_box(components(60), [KNEE], residual_part=1.0)


def test_more_components_than_pixels_are_refused() -> None:
    g = np.random.default_rng(0)
    with pytest.raises(ValueError, match="21 components of 20 pixels"):
        ComponentPredictions(
            truth=g.standard_normal((3, *SHAPE)),
            centre=np.zeros((3, *SHAPE)),
            directions=g.standard_normal((3, 21, *SHAPE)),
            std=np.ones((3, 21)),
            residual=np.ones(3),
        )


def test_more_components_than_the_null_space_are_refused() -> None:
    mask = torch.ones(1, 5, 4, dtype=torch.bool)
    mask[0, 0, :2] = False
    check_fits_null_space(2, Inpainting(mask))
    with pytest.raises(ValueError, match=r"3 components .* inpainting leaves only 2 directions"):
        dataclasses.replace(components(5), operator=Inpainting(mask))
    lines = torch.zeros(5, 4, dtype=torch.bool)
    lines[:, 2] = True  # zero frequency: five real degrees of freedom of twenty
    check_fits_null_space(15, MaskedFourier(lines, channels=1))
    with pytest.raises(ValueError, match="leaves only 15"):
        check_fits_null_space(16, MaskedFourier(lines, channels=1))


def test_directions_that_are_not_orthonormal_are_refused() -> None:
    c = components(5)
    with pytest.raises(ValueError, match="must be orthonormal"):
        dataclasses.replace(c, directions=2 * c.directions)
    with pytest.raises(ValueError, match="above 0"):
        dataclasses.replace(c, std=0 * c.std)
    with pytest.raises(ValueError, match="the truth hold 20 values"):
        dataclasses.replace(
            c, truth=np.where(np.arange(5)[:, None, None, None] == 1, np.nan, c.truth)
        )
