"""What all operators share."""

import pytest
import torch

from uqrestore.operators import (
    OPERATORS,
    Inpainting,
    MaskedFourier,
    Mixed,
    StridedBlur,
    Zero,
    list_operators,
)

SEEN = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])


def test_the_list_says_what_is_exact() -> None:
    rows = {name: (shapes, pinv) for name, shapes, pinv in list_operators()}
    assert set(rows) == set(OPERATORS)
    assert rows["strided_blur"][1] == "exact"
    assert rows["coil_fourier"][1] == "iterative"
    assert rows["mixed"][1] == "as its parts"
    assert all("->" in shapes or "its part" in shapes for shapes, _ in rows.values())
    assert Mixed.name == "mixed"


def test_the_wiener_estimate_shrinks_as_it_should() -> None:
    y = torch.ones(1, 2, 2)
    x, info = Inpainting(SEEN).solve(y, noise_std=2.0)
    torch.testing.assert_close(x, SEEN / 5)
    assert info.rank == 3
    assert info.iterations == 0


def test_noise_differs_from_problem_to_problem() -> None:
    A = Inpainting(SEEN.expand(2, 1, 2, 2))
    x, info = A.solve(torch.ones(3, 2, 1, 2, 2), noise_std=torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(x[:, 0], SEEN.expand(3, 1, 2, 2))
    torch.testing.assert_close(x[:, 1], SEEN.expand(3, 1, 2, 2) / 2)
    assert info.residual.shape == (3, 2)
    assert info.rank is not None
    assert info.rank.tolist() == [3, 3]


def test_nothing_measured_is_nothing_amplified() -> None:
    A = Zero((1, 2, 2), (3,))
    assert A.noise_gain().tolist() == [0, 0, 0]
    x, info = A.solve(torch.ones(3, 1, 2, 2), noise_std=0.1)
    assert (x == 0).all()
    assert (info.residual == 0).all()


def test_converting_keeps_masks_boolean_and_spectra_complex() -> None:
    blur = StridedBlur(torch.ones(3, 3) / 9, 1, (1, 6, 6)).to(torch.float64)
    assert isinstance(blur, StridedBlur)
    assert blur.dtype == torch.float64
    assert blur._response.dtype == torch.complex128
    fourier = MaskedFourier(torch.ones(4, 4, dtype=torch.bool)).to(torch.float64)
    assert isinstance(fourier, MaskedFourier)
    assert fourier.mask.dtype == torch.bool
    assert fourier.dtype == torch.float64


def test_an_operator_is_a_value() -> None:
    A = Inpainting(SEEN)
    with pytest.raises(AttributeError):
        A.mask = SEEN  # type: ignore[misc]
    with pytest.raises(ValueError, match=r"but got \(2, 2\)"):
        A(torch.ones(2, 2))
    torch.testing.assert_close(A(torch.ones(5, 1, 2, 2)), SEEN.expand(5, 1, 2, 2))
