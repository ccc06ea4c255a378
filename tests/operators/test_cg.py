"""Conjugate gradients against dense solves."""

import torch
from torch import Generator, Tensor

from uqrestore.operators._cg import conjugate_gradient, inner


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def systems(count: int, size: int) -> Tensor:
    root = normal(count, size, size)
    scale = torch.logspace(0, 2, count, dtype=torch.float64)[:, None, None]
    return scale * (root @ root.mT + torch.eye(size))


def apply(matrix: Tensor, x: Tensor) -> Tensor:
    return (matrix @ x.unsqueeze(-1)).squeeze(-1)


def test_every_system_is_solved() -> None:
    matrix, b = systems(4, 9), normal(4, 9, seed=1)
    x, steps = conjugate_gradient(lambda p: apply(matrix, p), b, dims=1, tol=1e-12, max_iter=50)
    torch.testing.assert_close(apply(matrix, x), b)
    assert 0 < steps < 50


def test_a_batch_gives_what_one_by_one_gives() -> None:
    matrix, b = systems(4, 9), normal(4, 9, seed=1)
    together, _ = conjugate_gradient(lambda p: apply(matrix, p), b, dims=1, tol=1e-2)
    for i in range(4):
        alone, _ = conjugate_gradient(lambda p, i=i: apply(matrix[i], p), b[i], dims=1, tol=1e-2)
        torch.testing.assert_close(together[i], alone, rtol=1e-12, atol=1e-14)


def test_a_preconditioner_that_is_the_inverse_takes_one_step() -> None:
    matrix, b = systems(3, 9), normal(3, 9, seed=1)
    inverse = torch.linalg.inv(matrix)
    _, steps = conjugate_gradient(
        lambda p: apply(matrix, p), b, dims=1, precondition=lambda r: apply(inverse, r), tol=1e-9
    )
    assert steps == 1


def test_a_start_at_the_solution_takes_no_step() -> None:
    matrix, x = systems(3, 9), normal(3, 9, seed=1)
    b = apply(matrix, x)
    found, steps = conjugate_gradient(lambda p: apply(matrix, p), b, dims=1, start=x)
    assert steps == 0
    torch.testing.assert_close(found, x)


def test_complex_systems_are_solved_too() -> None:
    root = torch.complex(normal(6, 6), normal(6, 6, seed=1))
    matrix, b = root @ root.mH + torch.eye(6), torch.complex(normal(6, seed=2), normal(6, seed=3))
    x, _ = conjugate_gradient(lambda p: matrix @ p, b, dims=1, tol=1e-12)
    torch.testing.assert_close(matrix @ x, b)
    assert inner(b, 1j * b, 1).abs() < 1e-12, "the real inner product"


def test_singular_systems_get_the_shortest_solution() -> None:
    rows = normal(4, 9)
    b = rows.T @ normal(4, seed=1)
    x, _ = conjugate_gradient(lambda p: rows.T @ (rows @ p), b, dims=1, tol=1e-12)
    torch.testing.assert_close(x, torch.linalg.pinv(rows.T @ rows) @ b)


def test_zero_stays_zero() -> None:
    x, steps = conjugate_gradient(lambda p: p, torch.zeros(2, 3), dims=1)
    assert steps == 0
    assert (x == 0).all()


def test_orthogonal_residuals_make_few_steps_independent_of_rounding() -> None:
    """Large eigenvalues apart from the rest, as images have: rounding then takes over early."""
    values = torch.cat([torch.logspace(5, 3, 12), torch.logspace(1, -1, 188)]).double()
    frame = torch.linalg.qr(normal(200, 200)).Q
    matrix, b = frame * values @ frame.mT, normal(200, seed=1)

    def run(steps: int, *, shaken: bool, reorthogonalise: bool = True) -> Tensor:
        def system(x: Tensor) -> Tensor:
            sent = matrix @ x
            return sent * (1 + 2e-16 * normal(200, seed=2)) if shaken else sent

        x, _ = conjugate_gradient(
            system, b, dims=1, tol=0.0, max_iter=steps, reorthogonalise=reorthogonalise
        )
        return x

    plain = run(40, shaken=False, reorthogonalise=False)
    moved = run(40, shaken=True, reorthogonalise=False) - plain
    assert moved.abs().max() > 1e-5 * plain.abs().max(), "what is to be avoided"
    for steps in (5, 40, 200):
        found, other = (run(steps, shaken=shaken) for shaken in (False, True))
        assert (found - other).abs().max() < 1e-9 * found.abs().max()
    torch.testing.assert_close(run(5, shaken=False), run(5, shaken=False, reorthogonalise=False))
    torch.testing.assert_close(matrix @ run(200, shaken=False), b, rtol=0, atol=1e-9)
