"""Random operators: their ranges, their independence of the batch, their mixture."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator

from uqrestore.operators import CoilFourier, LinearOperator, Mixed, Padded
from uqrestore.operators.random.base import OperatorDistribution
from uqrestore.operators.random.mixture import (
    DISTRIBUTIONS,
    BoxOutpainting,
    CartesianKSpace,
    CoilKSpace,
    MissingBox,
    Mixture,
    Nothing,
    PatchInpainting,
    RadialKSpace,
    RandomMatrix,
    SparseViewCT,
    StridedMotionBlur,
    SuperResolution,
)

SHAPE = (1, 16, 24)
CASES: dict[str, Callable[[], OperatorDistribution]] = {
    "box_outpainting": lambda: BoxOutpainting(SHAPE),
    "cartesian_kspace": lambda: CartesianKSpace(SHAPE),
    "coil_kspace": lambda: CoilKSpace((2, 16, 24), coils=(1, 3), accelerations=(2, 4)),
    "missing_box": lambda: MissingBox(SHAPE),
    "mixture": lambda: Mixture(
        SHAPE,
        (RandomMatrix(SHAPE), StridedMotionBlur(SHAPE), PatchInpainting(SHAPE), Nothing(SHAPE)),
    ),
    "nothing": lambda: Nothing(SHAPE),
    "patch_inpainting": lambda: PatchInpainting(SHAPE),
    "radial_kspace": lambda: RadialKSpace(SHAPE, spokes=(3, 5)),
    "random_matrix": lambda: RandomMatrix(SHAPE, rows=(2, 9)),
    "sparse_view_ct": lambda: SparseViewCT(SHAPE, views=(4, 6)),
    "strided_motion_blur": lambda: StridedMotionBlur(SHAPE),
    "super_resolution": lambda: SuperResolution(SHAPE),
}


def seed(value: int) -> Generator:
    return Generator().manual_seed(value)


def single(operator: LinearOperator) -> LinearOperator:
    return operator.parts[0] if isinstance(operator, Padded) else operator


def test_every_distribution_has_a_case() -> None:
    assert set(DISTRIBUTIONS) == set(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_first_problems_do_not_depend_on_how_many_follow(name: str) -> None:
    distribution = CASES[name]()
    many, few = distribution.draw(seed(0), 6), distribution.draw(seed(0), 3)
    assert many.problem_shape == (6,)
    x = torch.rand(3, *distribution.shape, generator=seed(1))
    one, other = many[:3](x), few(x)
    shared = tuple(slice(0, min(pair)) for pair in zip(one.shape, other.shape, strict=True))
    assert one.count_nonzero() == other.count_nonzero() == other[shared].count_nonzero()
    torch.testing.assert_close(one[shared], other[shared])
    again = distribution.draw(seed(0), 6)
    torch.testing.assert_close(again[:3](x), one)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"nothing"}))
def test_problems_differ(name: str) -> None:
    distribution = CASES[name]()
    x = torch.rand(1, *distribution.shape, generator=seed(1)).expand(8, *distribution.shape)
    y = distribution.draw(seed(0), 8)(x)
    assert any((y[i] != y[0]).any() for i in range(1, 8))


def test_patches_are_distributed_as_in_the_paper() -> None:
    g, distribution = seed(0), PatchInpainting((3, 64, 64))
    sides, shown = torch.zeros(7), []
    for _ in range(300):
        mask = distribution.draw_one(g).row_mask
        assert mask is not None
        assert (mask[0] == mask[2]).all(), "channels share the mask"
        shown.append(float(mask[0].double().mean()))
        # The side is the largest power of two whose tiling the mask is constant on.
        for power in range(6, -1, -1):
            side = 2**power
            tiles = mask[0].unfold(0, side, side).unfold(1, side, side).flatten(2)
            if (tiles.all(-1) | ~tiles.any(-1)).all():
                sides[power] += 1
                break
    assert sides.min() > 25, f"every side is as likely as another, got {sides.tolist()}"
    assert max(shown) <= 1
    assert min(shown) > 0


def test_matrices_have_unit_rows_of_drawn_number() -> None:
    distribution, g = RandomMatrix((1, 8, 8), rows=(2, 5)), seed(0)
    drawn = [distribution.draw_one(g) for _ in range(40)]
    assert {operator.out_shape[0] for operator in drawn} == {2, 3, 4, 5}
    batch = distribution.draw(seed(0), 5)
    unit = batch.adjoint(torch.eye(batch.out_shape[0])[:, None].expand(-1, 5, -1))
    norm = unit.flatten(2).norm(dim=-1).T
    assert batch.row_mask is not None
    torch.testing.assert_close(norm, batch.row_mask.float())


def test_blur_has_unit_kernels_and_drawn_strides() -> None:
    batch = StridedMotionBlur((1, 32, 32)).draw(seed(0), 24)
    y = batch(torch.full((24, 1, 32, 32), 0.5))
    assert batch.row_mask is not None
    torch.testing.assert_close(y, 0.5 * batch.row_mask.float(), rtol=1e-4, atol=1e-5)
    assert set(batch.row_mask.sum((-3, -2, -1)).tolist()) == {256, 64, 16}


def test_blur_stays_where_it_was() -> None:
    g, distribution = seed(0), StridedMotionBlur((1, 32, 48))
    for _ in range(10):
        kernel = distribution.draw_one(g).kernel  # type: ignore[attr-defined]
        for axis, length in enumerate(kernel.shape):
            centre = (kernel.sum(1 - axis) * torch.arange(length)).sum()
            assert centre.item() == pytest.approx(length // 2, abs=1.5)


def test_k_space_is_accelerated_as_drawn_and_real_or_complex() -> None:
    batch = CartesianKSpace((2, 16, 48), accelerations=(2, 8)).draw(seed(0), 12)
    assert batch.in_shape == (2, 16, 48)
    assert batch.row_mask is not None
    assert set(batch.row_mask.sum((-3, -2, -1)).tolist()) == {16 * 24, 16 * 6}
    assert CartesianKSpace((1, 16, 48)).draw(seed(0), 2).in_shape == (1, 16, 48)


def test_a_mixture_draws_a_component_for_every_problem() -> None:
    parts = (Nothing(SHAPE), MissingBox(SHAPE), SuperResolution(SHAPE))
    batch = Mixture(SHAPE, parts, weights=(1.0, 3.0, 0.0)).draw(seed(0), 200)
    assert isinstance(batch, Mixed)
    names = [single(batch.select(i)).name for i in range(200)]
    assert set(names) == {"zero", "inpainting"}
    assert names.count("zero") == pytest.approx(50, abs=20)


def test_a_mixture_of_other_shapes_or_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="mixture: wants at least one distribution"):
        Mixture(SHAPE, (Nothing((1, 4, 4)),))
    with pytest.raises(ValueError, match="one weight of at least 0 for each of 1 distributions"):
        Mixture(SHAPE, (Nothing(SHAPE),), (1.0, 2.0))


def test_coils_have_unit_norm_and_masks_their_acceleration_and_centre() -> None:
    family = CoilKSpace((2, 24, 40), coils=(1, 5), accelerations=(2, 5), centre=(0.3, 0.5))
    batch, seen = family.draw(seed(0), 40), set()
    assert isinstance(batch, Mixed)
    for part in batch.parts:
        assert isinstance(part, CoilFourier)
        rows, columns = (part.mask == part.mask[..., :1]), (part.mask == part.mask[..., :1, :])
        seen.add((len(part.maps[0]), bool(rows.all()), bool(columns.all())))
        torch.testing.assert_close(
            part.maps.abs().square().sum(-3), torch.ones(len(part.mask), 24, 40)
        )
        share = part.mask.float().mean((-2, -1))
        assert ((share > 1 / 5.5) & (share < 1 / 1.9)).all()
        assert part.mask[:, 12, 20].all(), "zero frequency is in the fully sampled centre"
    assert seen == {
        (c, r, k) for c in (1, 5) for r, k in ((True, False), (False, True), (False, False))
    }
