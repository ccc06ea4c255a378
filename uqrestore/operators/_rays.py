"""Parallel rays through an image as a sparse matrix, and the factor of its Gram matrix."""

import contextlib
import functools
import warnings
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

MOST_SAMPLES = 6_000_000
"""Largest number of ray samples, of up to four numbers each, for which a matrix is built."""
MOST_ROWS = 8192
"""Largest number of rows whose Gram matrix is factored: half a gigabyte of float64."""
RIDGE = 1e-9
"""Ridge relative to the mean eigenvalue, for rays beside the image measure nothing."""


def sample_places(
    angles: Float[Tensor, " angle"], detectors: int
) -> tuple[Float[Tensor, "angle s t"], Float[Tensor, "angle s t"]]:
    """Return (column, row) of every ray's samples in pixels, from the middle of the image.

    Args:
        angles: Degrees.
        detectors: Rays of an angle, and samples of a ray.
    """
    at = torch.arange(detectors, dtype=angles.dtype, device=angles.device) - (detectors - 1) / 2
    cos, sin = (f(torch.deg2rad(angles))[:, None, None] for f in (torch.cos, torch.sin))
    s, t = at[None, :, None], at[None, None, :]
    return s * cos + t * sin, t * cos - s * sin


@functools.lru_cache(maxsize=4)
def ray_matrix(
    angles: tuple[float, ...], shape: tuple[int, int], detectors: int
) -> Float[Tensor, "ray pixel"]:
    """Return the sum over a ray's samples, with bilinear interpolation, as float64 CSR.

    Args:
        angles: Degrees.
        shape: Rows and columns of the image; zero outside.
        detectors: Rays of an angle.
    """
    rows, columns = shape
    parts = []
    for index, angle in enumerate(angles):
        column, row = sample_places(torch.tensor([angle], dtype=torch.float64), detectors)
        column, row = column[0] + (columns - 1) / 2, row[0] + (rows - 1) / 2
        ray = torch.arange(detectors)[:, None].expand(detectors, detectors) + index * detectors
        left, top = column.floor(), row.floor()
        for down in (0, 1):
            for right in (0, 1):
                i, j = top + down, left + right
                weight = (1 - (row - i).abs()) * (1 - (column - j).abs())
                hit = (i >= 0) & (i < rows) & (j >= 0) & (j < columns) & (weight > 0)
                pixel = (i * columns + j)[hit].long()
                parts.append((ray[hit], pixel, weight[hit]))
    ray, pixel, weight = (torch.cat(part) for part in zip(*parts, strict=True))
    size = (len(angles) * detectors, rows * columns)
    with _without_sparse_warnings():
        place = torch.stack([ray, pixel])
        return torch.sparse_coo_tensor(place, weight, size).coalesce().to_sparse_csr()


@functools.lru_cache(maxsize=8)
def cast(
    angles: tuple[float, ...],
    shape: tuple[int, int],
    detectors: int,
    transposed: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Float[Tensor, "_ _"]:
    """Return :func:`ray_matrix`, or its transpose, on a device and in a floating-point type."""
    matrix = ray_matrix(angles, shape, detectors)
    with _without_sparse_warnings():
        if transposed:
            matrix = matrix.to_sparse_coo().t().coalesce().to_sparse_csr()
        return matrix.to(dtype=dtype, device=device)


def solve_gram(
    y: Float[Tensor, "batch ray"], angles: tuple[float, ...], shape: tuple[int, int], detectors: int
) -> Float[Tensor, "batch ray"]:
    r"""Return an approximation of :math:`(A A^T)^+ y` in float64.

    With the ridge :math:`\epsilon` it is :math:`G^{-1} A A^T G^{-1} y = G^{-1} (y - \epsilon
    G^{-1} y)`, :math:`G = A A^T + \epsilon I`: the error is :math:`2 \epsilon / s^2`
    in the range of A, and rounding in its null space is not amplified.
    """
    factor, ridge = _gram_factor(angles, shape, detectors, y.device)
    once = torch.cholesky_solve(y.mT, factor)
    return torch.cholesky_solve(y.mT - ridge * once, factor).mT


@functools.lru_cache(maxsize=2)
def _gram_factor(
    angles: tuple[float, ...], shape: tuple[int, int], detectors: int, device: torch.device
) -> tuple[Float[Tensor, "ray ray"], float]:
    r"""Return the Cholesky factor of :math:`A A^T + \epsilon I`, and :math:`\epsilon`."""
    from scipy.sparse import csr_matrix

    matrix = ray_matrix(angles, shape, detectors)
    parts = matrix.values().numpy(), matrix.col_indices().numpy(), matrix.crow_indices().numpy()
    sparse = csr_matrix(parts, shape=tuple(matrix.shape))
    gram = torch.from_numpy((sparse @ sparse.T).toarray()).to(device)
    ridge = RIDGE * float(gram.diagonal().mean())
    gram.diagonal().add_(ridge)
    return torch.linalg.cholesky(gram), ridge


@contextlib.contextmanager
def _without_sparse_warnings() -> Iterator[None]:
    """Suppress the warnings that sparse tensors are in beta and that their checks are optional."""
    with warnings.catch_warnings(), torch.sparse.check_sparse_tensor_invariants(enable=False):
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        yield
