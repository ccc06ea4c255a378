"""Projections against scikit-image, and reconstructions against the truth."""

import pytest
import torch
from torch import Tensor

from uqrestore.operators import Radon


def phantom(size: int) -> Tensor:
    """A smooth off-centre blob and a disc, inside the inscribed circle; float64."""
    i = torch.linspace(-1, 1, size, dtype=torch.float64)[:, None]
    j = torch.linspace(-1, 1, size, dtype=torch.float64)
    blob = torch.exp(-30 * ((i + 0.3) ** 2 + (j - 0.2) ** 2))
    edge = torch.sigmoid(40 * (0.6 - torch.hypot(i - 0.1, j + 0.1)))
    return (0.5 * edge + blob) * (torch.hypot(i, j) < 0.95)


@pytest.mark.parametrize("degrees", [0.0, 37.0, 90.0, 141.5])
def test_forward_is_that_of_scikit_image(degrees: float) -> None:
    import skimage.transform

    x = phantom(65)
    want = torch.from_numpy(skimage.transform.radon(x.numpy(), [degrees], circle=True))[:, 0]
    got = Radon(torch.tensor([degrees], dtype=torch.float64), (1, 65, 65), detectors=65)(x[None])
    assert (got[0, 0] - want).norm() < 2e-3 * want.norm()


def test_a_projection_keeps_the_sum() -> None:
    x = phantom(64)[None]
    y = Radon(torch.arange(0, 180, 11).double(), (1, 64, 64))(x)
    torch.testing.assert_close(y.sum(-1), x.sum().expand_as(y.sum(-1)), rtol=2e-3, atol=0)


def test_filtered_back_projection_finds_the_image() -> None:
    import skimage.transform

    x = phantom(65)[None]
    A = Radon(torch.arange(0, 180, 1.5).double(), (1, 65, 65), detectors=65)
    got = A.fbp(A(x))
    want = skimage.transform.iradon(
        A(x)[0].T.numpy(), torch.arange(0, 180, 1.5).numpy(), circle=True
    )
    inside = torch.hypot(*(torch.cartesian_prod(*[torch.linspace(-1, 1, 65)] * 2).T)) < 0.95
    inside = inside.reshape(65, 65)
    error = (got[0] - x[0])[inside].norm() / x.norm()
    assert error < 0.05
    assert error < 1.5 * (torch.from_numpy(want) - x[0])[inside].norm() / x.norm()


def test_least_squares_beats_filtering_for_few_views() -> None:
    x = phantom(33)[None]
    A = Radon(torch.arange(0, 180, 15).double(), (1, 33, 33), detectors=47, tol=1e-4)
    y = A(x)
    least_squares, info = A.solve(y, tol=1e-4)
    assert info.residual < 2e-4
    assert (least_squares - x).norm() < 0.7 * (A.fbp(y) - x).norm()


def test_the_start_saves_iterations() -> None:
    x = phantom(33)[None]
    A = Radon(torch.arange(0, 180, 6).double(), (1, 33, 33), detectors=47)
    started = A.solve(A(x), tol=1e-3)[1].iterations

    class FromZero(Radon):
        def _start(self, y: Tensor, variance: Tensor) -> None:  # type: ignore[override]  # noqa: ARG002
            return None

    plain = FromZero(A.angles, A.shape, A.detectors)
    assert started < plain.solve(A(x), tol=1e-3)[1].iterations


def test_cached_rays_equal_recomputed_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    x, A = phantom(20)[None], Radon(torch.arange(0, 180, 7).double(), (1, 20, 20))
    y = A(x)
    back = A.adjoint(y)
    monkeypatch.setattr("uqrestore.operators.radon.MOST_SAMPLES", 0)
    for chunk in (10**6, 3000):
        monkeypatch.setattr("uqrestore.operators.radon.CHUNK", chunk)
        torch.testing.assert_close(A(x), y)
        torch.testing.assert_close(A.adjoint(y), back)


def test_a_factor_of_the_gram_matrix_leaves_nothing_to_iterate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = phantom(33)[None]
    A = Radon(torch.arange(0, 180, 9).double(), (1, 33, 33))
    image, info = A.solve(A(x))
    assert info.iterations == 0
    monkeypatch.setattr("uqrestore.operators.radon.MOST_ROWS", 0)
    other, info = A.solve(A(x), tol=1e-7, max_iter=3000)
    assert info.iterations > 20
    assert (image - other).norm() < 0.01 * other.norm()
    assert (A(image) - A(x)).norm() < 1e-5 * A(x).norm()


def test_the_measured_part_of_an_image_does_not_depend_on_the_batch() -> None:
    A = Radon.sparse_view((1, 37, 29), views=32)
    x = torch.randn(8, 1, 37, 29, generator=torch.Generator().manual_seed(0))
    y = A(x)
    for apply, value in ((A.row_part, x), (lambda x: A.project(x, y[0]), x), (A.pinv, y)):
        together, alone = apply(value), torch.cat([apply(value[i : i + 1]) for i in range(8)])
        assert together.dtype == torch.float32
        assert (together - alone).abs().max() < 1e-6 * together.abs().max()
