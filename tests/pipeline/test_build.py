"""A pipeline's operator is the one it says, and its masks hang on seed and slice alone."""

import pytest
import torch

from uqrestore.operators import Identity, Inpainting, MaskedFourier
from uqrestore.pipeline import MaskPart, OperatorPart
from uqrestore.pipeline.build import build_operator

SHAPE = (1, 12, 10)


def cartesian(*, seed: int = 0, per_slice: bool = False, acceleration: float = 3) -> OperatorPart:
    pattern = MaskPart(
        law="cartesian",
        options={"acceleration": acceleration, "center_lines": 2},
        seed=seed,
        per_slice=per_slice,
    )
    return OperatorPart(name="masked_fourier", options={"channels": 1}, mask=pattern)


def test_one_mask_serves_all_slices() -> None:
    operator = build_operator(cartesian(), SHAPE, [3, 5])

    assert isinstance(operator, MaskedFourier)
    assert operator.problem_shape == ()
    assert operator.in_shape == SHAPE
    assert operator.mask[0].sum() == round(10 / 3)


def test_the_seed_draws_the_mask() -> None:
    masks = [build_operator(cartesian(seed=s), SHAPE, [0]).mask for s in (0, 0, 1, 2)]  # type: ignore[attr-defined]

    assert torch.equal(masks[0], masks[1])
    assert not all(torch.equal(masks[0], mask) for mask in masks[2:])


def test_a_slice_keeps_its_mask_whichever_others_are_restored() -> None:
    part = OperatorPart(
        name="inpainting",
        mask=MaskPart(law="patches", options={"side": 1, "visible": 0.5}, per_slice=True),
    )

    some = build_operator(part, (2, 12, 10), [4, 9])
    other = build_operator(part, (2, 12, 10), [1, 9, 11])

    assert isinstance(some, Inpainting)
    assert isinstance(other, Inpainting)
    assert some.problem_shape == (2,)
    assert torch.equal(some.mask[1], other.mask[1])
    assert not torch.equal(some.mask[0], some.mask[1])
    assert torch.equal(some.mask[0, 0], some.mask[0, 1]), "a voxel is seen in all channels"


def test_an_operator_without_a_mask_takes_its_shape_from_the_prior() -> None:
    operator = build_operator(OperatorPart(name="identity"), SHAPE, [0])

    assert isinstance(operator, Identity)
    assert operator.in_shape == SHAPE


def test_an_operator_that_does_not_fit_the_prior_is_named() -> None:
    part = cartesian().model_copy(update={"options": {"channels": 2}})

    with pytest.raises(ValueError, match=r"masked_fourier acts on .*\(2, 12, 10\).*\(1, 12, 10\)"):
        build_operator(part, SHAPE, [0])


def test_a_mask_that_samples_nothing_is_refused() -> None:
    part = OperatorPart(
        name="inpainting", mask=MaskPart(law="patches", options={"side": 1, "visible": 0.0})
    )

    with pytest.raises(ValueError, match="visible within"):
        build_operator(part, SHAPE, [0])
    with pytest.raises(ValueError, match="at least 1"):
        build_operator(cartesian(acceleration=100), SHAPE, [0])
