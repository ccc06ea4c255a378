"""NumPy arrays and masks of any number type, as a user has them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from uqrestore.operators import (
    CoilFourier,
    CoilRadial,
    Colorization,
    Hadamard,
    Inpainting,
    LinearOperator,
    MaskedFourier,
    Matrix,
    RadialFourier,
    Radon,
    StridedBlur,
)

pytestmark = pytest.mark.usefixtures("as_users_run_it")

G = np.random.default_rng(0)
# Untyped, as from a notebook: annotations of operators are those of their fields, tensors.
MASK: Any = G.random((6, 8)) < 0.5
MAPS: Any = G.normal(size=(3, 6, 8)) + 1j * G.normal(size=(3, 6, 8))
POINTS: Any = G.uniform(-np.pi, np.pi, (9, 2))

# Arguments as NumPy arrays, in the order of the fields.
FROM_NUMPY: dict[Any, tuple[Any, ...]] = {
    CoilFourier: (MASK, MAPS, G.normal(size=(6, 8))),
    CoilRadial: (POINTS, MAPS),
    Colorization: (G.normal(size=(1, 3)), (6, 8)),
    Hadamard: (G.permutation(32), np.arange(9), (1, 4, 8)),
    Inpainting: (MASK[None],),
    MaskedFourier: (MASK,),
    Matrix: (G.normal(size=(5, 48)), (1, 6, 8)),
    RadialFourier: (POINTS, (6, 8)),
    Radon: (np.arange(0.0, 180, 20), (1, 6, 8)),
    StridedBlur: (np.full((3, 3), 1 / 9), 2, (1, 6, 8)),
}


def tensors(arguments: tuple[Any, ...]) -> list[Any]:
    return [torch.as_tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]


@pytest.mark.parametrize("kind", FROM_NUMPY, ids=lambda kind: kind.__name__)
def test_numpy_arrays_make_the_operator_and_its_image(kind: Callable[..., LinearOperator]) -> None:
    arguments = FROM_NUMPY[kind]
    operator, want = kind(*arguments), kind(*tensors(arguments))
    image = G.normal(size=want.in_shape)
    assert torch.equal(operator(image), want(torch.as_tensor(image)))
    assert operator(image).dtype == torch.float64
    assert torch.equal(operator(image[..., ::-1]), want(torch.as_tensor(image).flip(-1)))


def test_a_later_change_of_the_array_leaves_the_operator_alone() -> None:
    mask = MASK[None].copy()
    operator = Inpainting(mask)
    mask[:] = True
    assert torch.equal(operator.row_mask, torch.as_tensor(MASK[None]))


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32, float])
def test_a_mask_of_zeros_and_ones_may_have_any_type(kind: type) -> None:
    mask, x = MASK.astype(kind), np.ones((1, 6, 8))
    assert torch.equal(Inpainting(mask[None])(x), Inpainting(MASK[None])(x))
    one, two = (MaskedFourier(m, channels=1) for m in (mask, MASK))
    assert torch.equal(one(x), two(x))
    assert torch.equal(CoilFourier(mask, MAPS).mask, torch.as_tensor(MASK))


@pytest.mark.parametrize("kind", [np.uint8, float])
def test_a_mask_of_255_is_refused(kind: type) -> None:
    mask: Any = 255 * MASK.astype(kind)
    for make in (lambda: Inpainting(mask[None]), lambda: MaskedFourier(mask)):
        with pytest.raises(ValueError, match=r"holds 0 and 1 alone .* such as \[255"):
            make()


@pytest.mark.parametrize("turn", [np.pi, 2 * np.pi])
def test_angles_in_radians_are_refused(turn: float) -> None:
    angles: Any = np.linspace(0, turn, 30, endpoint=False)
    with pytest.raises(ValueError, match="look like radians"):
        Radon(angles, (1, 6, 8))
    degrees: Any = np.rad2deg(angles)
    Radon(degrees, (1, 6, 8))


def test_measurements_are_counted_without_padding() -> None:
    seen: Any = np.stack([MASK, ~MASK])
    counts = torch.as_tensor(seen.sum((1, 2))).double()
    assert torch.equal(MaskedFourier(seen, channels=1).measured_rows(), 2 * counts)
    assert torch.equal(Inpainting(seen[:, None]).measured_rows(), counts)
    assert Radon(torch.arange(0.0, 180, 20), (1, 6, 8), 5).measured_rows() == 45
