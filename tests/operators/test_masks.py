"""Masks: how much they sample, where, and that a seed is all they depend on."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from uqrestore.operators import masks
from uqrestore.operators._fourier import reflect


def seed(value: int) -> Generator:
    return Generator().manual_seed(value)


MASKS: dict[str, Callable[[Generator], Tensor]] = {
    "box": lambda g: masks.box((7, 6), g),
    "cartesian": lambda g: masks.cartesian((15, 40), 4, 3, g),
    "patch": lambda g: masks.patches((15, 14), 4, 0.3, g),
    "poisson": lambda g: masks.poisson((21, 20), 5, 4, g),
    "radial": lambda g: masks.radial((21, 20), 4, g),
}


@pytest.mark.parametrize("name", sorted(MASKS))
def test_a_seed_is_all_a_mask_depends_on(name: str) -> None:
    make = MASKS[name]
    assert (make(seed(1)) == make(seed(1))).all()
    assert any((make(seed(1)) != make(seed(i))).any() for i in range(2, 6))
    assert make(seed(1)).dtype == torch.bool
    assert make(seed(1)).any()


@pytest.mark.parametrize("axis", [-1, -2])
def test_cartesian_samples_whole_lines_and_the_centre(axis: int) -> None:
    shape = (40, 41)
    mask = masks.cartesian(shape, 4, 5, seed(0), axis=axis)
    lines = mask.any(-1 if axis == -2 else -2)
    assert (mask.sum() == lines.sum() * shape[-1 if axis == -2 else -2]).all()
    assert lines.sum() == round(shape[axis] / 4)
    middle = shape[axis] // 2
    assert lines[middle - 2 : middle + 3].all()


def test_cartesian_lines_are_uniform_off_the_centre() -> None:
    g = seed(0)
    often = sum(masks.cartesian((1, 20), 2, 2, g)[0].double() for _ in range(400)) / 400
    assert isinstance(often, Tensor)
    outer = torch.cat([often[:9], often[11:]])
    assert (outer - 8 / 18).abs().max() < 0.1


def test_poisson_points_keep_their_distance_and_crowd_the_centre() -> None:
    mask = masks.poisson((64, 48), 6, 6, seed(0))
    assert mask.sum() == 64 * 48 // 6
    assert mask[29:35, 21:27].all()
    inner = mask[16:48, 12:36].double().mean()
    outer = (mask.sum() - mask[16:48, 12:36].sum()) / (64 * 48 * 3 / 4)
    assert inner > 2 * outer
    even = masks.poisson((64, 48), 9, 0, seed(0), slope=0)
    points = torch.nonzero(even).double()
    nearest = (torch.cdist(points, points) + 1e3 * torch.eye(len(points))).min(-1).values
    assert nearest.min() >= 2, "random points of this density would touch"


def test_radial_spokes_cross_at_zero_frequency() -> None:
    mask = masks.radial((65, 64), 6, seed(2))
    assert mask[32, 32]
    assert 5 * 64 < mask.sum() < 9 * 64
    assert (mask == reflect(mask)).double().mean() > 0.97


def test_patches_are_shown_whole_and_cut_at_the_border() -> None:
    mask = masks.patches((15, 14), 4, 0.3, seed(3))
    assert (
        mask[:12, :12] == mask[:12:4, :12:4].repeat_interleave(4, 0).repeat_interleave(4, 1)
    ).all()
    assert mask.shape == (15, 14)
    g = seed(0)
    shown = [masks.patches((64, 64), 8, 0.3, g).double().mean() for _ in range(50)]
    assert float(sum(shown)) / 50 == pytest.approx(0.3, abs=0.02)


def test_boxes_are_rectangles_with_the_stated_widths() -> None:
    g, width, counts = seed(0), 5, torch.zeros(6)
    for _ in range(4000):
        mask = masks.box((4, width), g)
        rows, columns = mask.any(1), mask.any(0)
        assert (mask == rows[:, None] & columns).all()
        assert not mask.all()
        counts[int(columns.sum())] += 1
    length = torch.arange(1, width + 1)
    expected = 2 * (width + 1 - length) / (width * (width + 1))
    full = expected[-1] * 2 / (4 * 5)  # the whole image, which is drawn again
    expected = (expected - torch.tensor([0, 0, 0, 0, full])) / (1 - full)
    torch.testing.assert_close(counts[1:] / 4000, expected, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: masks.cartesian((8, 8), 8, 3, seed(0)), "hold the 3 centre lines"),
        (lambda: masks.cartesian((8, 8), 0.5, 1, seed(0)), "must be at least 1"),
        (lambda: masks.poisson((8, 8), 8, 4, seed(0)), "hold the 4 x 4 centre"),
        (lambda: masks.radial((8, 8), 0, seed(0)), "at least one spoke"),
        (lambda: masks.patches((8, 8), 0, 0.5, seed(0)), "wants side >= 1"),
        (lambda: masks.patches((8, 8), 2, 0.0, seed(0)), "visible within"),
        (lambda: masks.box((1, 1), seed(0)), "at least 2 pixels"),
    ],
)
def test_impossible_masks_are_refused(make: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
