"""Operators against bare torch everywhere, and against deepinv where it is installed."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from tests.benchmarks.peers import HAS_DEEPINV, deepinv
from uqrestore.operators import (
    CoilFourier,
    Colorization,
    Inpainting,
    LinearOperator,
    MaskedFourier,
    Matrix,
    Mixed,
    StridedBlur,
    mix,
    to_deepinv,
)
from uqrestore.operators.kernels import gaussian_kernel, motion_kernel
from uqrestore.operators.masks import cartesian

SIZE, BATCH, COILS = 128, 2, 4
Compare = Callable[..., None]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seed(value: int = 0) -> Generator:
    return Generator().manual_seed(value)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=seed(1))


def line_masks() -> Tensor:
    """A different mask of columns for each problem, four-fold accelerated."""
    g = seed()
    return torch.stack([cartesian((SIZE, SIZE), 4, 10, g) for _ in range(BATCH)])


def coil_maps() -> Tensor:
    i = torch.linspace(-1, 1, SIZE)[:, None]
    j = torch.linspace(-1, 1, SIZE)
    angle = 2 * math.pi * torch.arange(COILS)[:, None, None] / COILS
    size = torch.exp(-((i - angle.sin()) ** 2) - (j - angle.cos()) ** 2)
    return torch.polar(size / size.square().sum(0).sqrt(), angle + j.expand(SIZE, SIZE))


def coils() -> CoilFourier:
    return CoilFourier(line_masks(), coil_maps().expand(BATCH, -1, -1, -1).clone(), tol=1e-4)


def relative(got: Tensor, want: Tensor) -> float:
    return float((got - want).norm() / want.norm())


def penrose(operator: LinearOperator, y: Tensor) -> float:
    return relative(operator(operator.pinv(y)), y)


@pytest.mark.parametrize("way", ["forward", "adjoint"])
def test_matrix_against_the_bare_product(compare: Compare, way: str) -> None:
    A = Matrix(normal(32, 128, 4096), (1, 64, 64))
    x = normal(32, 1, 64, 64)
    y = A(x)
    if way == "forward":
        column = x.flatten(1).unsqueeze(-1)
        pair = (lambda: A(x), lambda: torch.bmm(A.matrix, column))
    else:
        column = y.unsqueeze(-1)
        pair = (lambda: A.adjoint(y), lambda: torch.bmm(A.matrix.mT, column))
    torch.testing.assert_close(pair[0]().flatten(1), pair[1]().flatten(1), rtol=1e-3, atol=1e-2)
    compare(f"matrix {way}", *pair, named="torch.bmm", wanted=1 / 1.3, times=50)


@pytest.mark.parametrize("channels", [1, 2])
def test_masked_fourier_against_the_bare_transform(compare: Compare, channels: int) -> None:
    A = MaskedFourier(line_masks(), channels=channels)  # type: ignore[arg-type]
    x = normal(BATCH, channels, SIZE, SIZE)
    z = torch.complex(x[:, 0], x[:, -1])
    assert penrose(A, A(x)) < 1e-6
    compare(
        f"masked_fourier forward, {'real' if channels == 1 else 'complex'}",
        lambda: A(x),
        lambda: torch.fft.fft2(z, norm="ortho"),
        named="torch.fft.fft2",
        wanted=0.5,
        note="the reference neither centres nor masks",
    )


COLOUR = (3, 48, 48)


def eight_operators() -> list[LinearOperator]:
    """In-painting, blur, super-resolution and grey, twice, on small colour images."""
    g = seed()
    operators: list[LinearOperator] = []
    for _ in range(2):
        seen = torch.rand(1, 48, 48, generator=g) < 0.5
        operators += [
            Inpainting(seen.expand(COLOUR).clone()),
            StridedBlur(motion_kernel((15, 15), 0.5, g), 1, COLOUR, rcond=1e-4),
            StridedBlur(gaussian_kernel((29, 29), 4.0), 4, COLOUR, rcond=1e-4),
            Colorization(torch.tensor([[0.2989, 0.5870, 0.1140]]), COLOUR[1:]),
        ]
    return operators


def colour_images() -> Tensor:
    return torch.rand(8, *COLOUR, generator=seed(2))


def run_mixed(batch: Mixed, x: Tensor, way: str) -> Callable[[], Tensor]:
    y = batch(x)
    return (lambda: batch(x)) if way == "forward" else (lambda: getattr(batch, way)(y))


@pytest.mark.parametrize("way", ["forward", "adjoint", "pinv"])
def test_mixed_against_a_loop_over_its_operators(compare: Compare, way: str) -> None:
    operators, x = eight_operators(), colour_images()
    y = [A(x[i]) for i, A in enumerate(operators)]
    values = x.unbind() if way == "forward" else y
    compare(
        f"mixed batch of 8 {way}",
        run_mixed(mix(operators), x, way),
        lambda: [getattr(A, way)(v) for A, v in zip(operators, values, strict=True)],
        named="loop over our own",
        wanted=0.8,
        note="small images; the gain is one call of a kind however large the batch",
    )


if HAS_DEEPINV:

    @pytest.mark.parametrize("way", ["forward", "adjoint"])
    @pytest.mark.parametrize("kind", ["inpainting", "masked_fourier", "coil_fourier"])
    def test_maps_against_deepinv(compare: Compare, kind: str, way: str) -> None:
        physics = deepinv().physics
        if kind == "inpainting":
            mask = torch.rand(BATCH, 3, SIZE, SIZE, generator=seed()) < 0.5
            x = normal(BATCH, 3, SIZE, SIZE)
            A, peer = Inpainting(mask), physics.Inpainting((3, SIZE, SIZE), mask=mask.float())
        elif kind == "masked_fourier":
            x, mask = normal(BATCH, 2, SIZE, SIZE), line_masks()
            A, peer = MaskedFourier(mask), physics.MRI(mask=mask.float().unsqueeze(1))
        else:
            x, A = normal(BATCH, 2, SIZE, SIZE), coils()
            peer = physics.MultiCoilMRI(mask=A.mask.float().unsqueeze(1), coil_maps=coil_maps())
        y = A(x)
        torch.testing.assert_close(peer.A(x), y, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(peer.A_adjoint(y), A.adjoint(y), rtol=1e-4, atol=1e-5)
        pair = (lambda: A(x), lambda: peer.A(x))
        if way == "adjoint":
            pair = (lambda: A.adjoint(y), lambda: peer.A_adjoint(y))
        compare(f"{kind} {way}", *pair, named="deepinv", wanted=0.95)

    def test_coil_pinv_against_deepinv(compare: Compare) -> None:
        A = coils()
        y = A(normal(BATCH, 2, SIZE, SIZE))
        peer = deepinv().physics.MultiCoilMRI(
            mask=A.mask.float().unsqueeze(1),
            coil_maps=coil_maps(),
            solver="CG",
            tol=1e-4,
            max_iter=2000,
        )

        def residual(x: Tensor) -> float:
            return relative(A.adjoint(A(x)), A.adjoint(y))

        ours, theirs = residual(A.pinv(y)), residual(peer.A_dagger(y))
        assert ours < 1.05e-4
        compare(
            "coil_fourier pinv to 1e-4",
            lambda: A.pinv(y),
            lambda: peer.A_dagger(y),
            named="deepinv CG",
            wanted=3.0,
            times=9,
            note=f"residual {ours:.1e}, deepinv {theirs:.1e}",
        )

    @pytest.mark.parametrize(
        ("std", "stride", "wanted"), [(2.0, 2, 100), (2.0, 4, 100), (1.0, 2, 50), (1.0, 4, 50)]
    )
    def test_blur_pinv_against_deepinv(
        compare: Compare, std: float, stride: int, wanted: float
    ) -> None:
        x = torch.rand(BATCH, 3, SIZE, SIZE, generator=seed())
        kernel = gaussian_kernel((17, 17), std)
        A = StridedBlur(kernel, stride, (3, SIZE, SIZE), rcond=1e-4)
        peer = deepinv().physics.Downsampling(
            img_size=(3, SIZE, SIZE), factor=stride, filter=kernel[None, None], padding="circular"
        )
        y, small = A(x), peer.A(x)
        torch.testing.assert_close(y[..., ::stride, ::stride], small, rtol=1e-4, atol=1e-5)
        ours = penrose(A, y)
        theirs = relative(peer.A(peer.A_dagger(small)), small)
        assert ours < 1e-5
        compare(
            f"strided_blur pinv, sigma {std:.0f} stride {stride}",
            lambda: A.pinv(y),
            lambda: peer.A_dagger(small),
            named="deepinv",
            wanted=wanted,
            times=9,
            note=f"Penrose error {ours:.1e}, deepinv {theirs:.1e}",
        )

    @pytest.mark.parametrize(
        ("way", "name", "wanted"),
        [("forward", "A", 5), ("adjoint", "A_adjoint", 5), ("pinv", "A_dagger", 20)],
    )
    def test_mixed_against_a_loop_over_deepinv(
        compare: Compare, way: str, name: str, wanted: float
    ) -> None:
        operators, x, physics = eight_operators(), colour_images(), deepinv().physics
        peers = [peer_of(A, physics) for A in operators]
        pieces = x.split(1)
        rows = [peer.A(piece) for peer, piece in zip(peers, pieces, strict=True)]
        for A, piece, row in zip(operators, pieces, rows, strict=True):
            ours = A(piece)
            stride = 48 // row.shape[-1]
            ours = ours[..., ::stride, ::stride]
            torch.testing.assert_close(row, ours, rtol=1e-4, atol=1e-4)
        values = pieces if way == "forward" else rows
        compare(
            f"mixed batch of 8 {way}",
            run_mixed(mix(operators), x, way),
            lambda: [getattr(peer, name)(v) for peer, v in zip(peers, values, strict=True)],
            named="loop over deepinv",
            wanted=wanted,
            times=9 if way == "pinv" else 200,
        )

    def peer_of(A: LinearOperator, physics: Any) -> Any:  # noqa: ANN401 - of deepinv
        """Return deepinv's version of one of the eight operators."""
        if isinstance(A, Inpainting):
            return physics.Inpainting(COLOUR, mask=A.mask.float()[None])
        if isinstance(A, Colorization):
            return physics.Decolorize()
        assert isinstance(A, StridedBlur)
        kernel, stride = A.kernel[None, None], int(A.stride)
        if stride == 1:
            return physics.BlurFFT(img_size=COLOUR, filter=kernel)
        return physics.Downsampling(COLOUR, filter=kernel, factor=stride, padding="circular")

    def test_our_operators_serve_deepinv() -> None:
        deepinv()
        A = StridedBlur(gaussian_kernel((5, 5), 1.0), 2, (1, 12, 16))
        physics, x = to_deepinv(A), torch.rand(2, 1, 12, 16, generator=seed())
        torch.testing.assert_close(physics.A(x), A(x))
        torch.testing.assert_close(physics.A_adjoint(A(x)), A.adjoint(A(x)))
        torch.testing.assert_close(physics.A_dagger(A(x)), A.pinv(A(x)))
        assert physics.adjointness_test(x) < 1e-4
