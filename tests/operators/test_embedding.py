"""An image laid on another field of view, alone and before a transform."""

import pytest
import torch

from uqrestore.operators import Embedding, MaskedFourier


def image() -> torch.Tensor:
    return torch.arange(1.0, 13.0).reshape(1, 3, 4).double()


def test_pixels_lie_where_the_offset_says_and_what_is_outside_is_cut() -> None:
    wider = Embedding((1, 3, 4), field_shape=(5, 7), offset=(1, 2))
    y = wider(image())
    assert torch.equal(y[:, 1:4, 2:6], image())
    assert float(y.sum()) == float(image().sum())
    cut = Embedding((1, 3, 4), field_shape=(2, 6), offset=(-1, 1))
    y = cut(image())
    assert torch.equal(y[:, :, 1:5], image()[:, 1:])
    assert (y[:, :, [0, 5]] == 0).all()
    assert torch.equal(cut.pinv(y)[:, 1:], image()[:, 1:])
    assert (cut.pinv(y)[:, 0] == 0).all()


def test_a_transform_of_a_larger_field_finds_the_image_back() -> None:
    mask = torch.ones(6, 8, dtype=torch.bool)
    whole = MaskedFourier(mask, channels=1) @ Embedding(
        (1, 3, 4), field_shape=(6, 8), offset=(2, 1)
    )
    x, info = whole.solve(whole(image()))
    torch.testing.assert_close(x, image(), atol=1e-6, rtol=0)
    assert float(info.residual) < 1e-6


def test_fields_that_do_not_meet_are_refused() -> None:
    with pytest.raises(ValueError, match=r"does not overlap a field \(5, 7\)"):
        Embedding((1, 3, 4), field_shape=(5, 7), offset=(5, 0))
