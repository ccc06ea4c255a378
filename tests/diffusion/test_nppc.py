"""Principal components by loss: their algebra, and what its minimisers are."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from uqrestore.diffusion.nppc import (
    ErrorScale,
    along,
    direction_loss,
    gram_schmidt,
    likelihood_loss,
    null_space_components,
    variance_loss,
)
from uqrestore.operators import Inpainting
from uqrestore.problem import Problem

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
SHAPE = (1, 3, 5)
PIXELS = 15


def randn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_gram_schmidt_is_orthonormal_and_keeps_spans_and_lengths() -> None:
    raw = randn(2, 4, *SHAPE)
    directions, std = gram_schmidt(raw)
    flat = directions.flatten(2)
    torch.testing.assert_close(flat @ flat.mT, torch.eye(4).double().expand(2, 4, 4))
    inside = torch.einsum("bkp,blp->bkl", raw.flatten(2), flat)
    torch.testing.assert_close(inside @ flat, raw.flatten(2))
    torch.testing.assert_close(std, inside.diagonal(dim1=1, dim2=2))
    torch.testing.assert_close(directions[:, 0] * std[:, :1, None, None], raw[:, 0])


def test_a_later_component_never_moves_an_earlier_one() -> None:
    raw, error = randn(2, 3, *SHAPE).requires_grad_(), randn(2, *SHAPE, seed=1)
    directions, std = gram_schmidt(raw)
    (std[:, 2].sum() + along(directions, error)[:, 2].square().sum()).backward()
    assert raw.grad is not None
    assert not raw.grad[:, :2].any()
    assert raw.grad[:, 2].any()


def test_the_variance_loss_leaves_directions_alone_and_the_direction_loss_lengths() -> None:
    raw, error = randn(2, 3, *SHAPE).requires_grad_(), randn(2, *SHAPE, seed=1)
    directions, _ = gram_schmidt(raw)
    loss = variance_loss(directions, randn(2, 3, seed=4), error, torch.ones(2).double())
    assert not loss.requires_grad, "nothing of the directions is left in it"
    direction_loss(gram_schmidt(raw)[0], error).sum().backward()
    assert raw.grad is not None
    radial = (raw.grad * raw).flatten(2).sum(-1)
    torch.testing.assert_close(radial[:, 0], torch.zeros(2).double(), atol=1e-12, rtol=0)


def test_a_zero_start_gives_finite_losses_and_gradients() -> None:
    raw = torch.zeros(2, 3, *SHAPE, dtype=torch.float64, requires_grad=True)
    directions, std = gram_schmidt(raw)
    error = randn(2, *SHAPE)
    scale = ErrorScale("none")(error, {})
    loss = direction_loss(directions, error) + variance_loss(directions, std, error, scale)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


def test_components_live_where_nothing_was_measured() -> None:
    operator = Inpainting((randn(2, *SHAPE) > 0).double())
    truth = randn(2, *SHAPE, seed=3)
    noise_std = torch.tensor([0.0, 0.1]).double()
    problem = Problem(operator, operator.forward(truth), noise_std)
    raw, mean = randn(2, 3, *SHAPE, seed=4), randn(2, *SHAPE, seed=5)
    left = null_space_components(raw, problem)
    assert operator[0].forward(left[0]).abs().max() < 1e-12
    assert torch.equal(left[1], raw[1])
    kept = problem.project(mean)
    torch.testing.assert_close(operator[0].forward(kept[0]), problem.y[0])
    assert torch.equal(kept[1], mean[1])


def trained(
    error_norm: str, variances: Tensor, steps: int = 2000, lengths: Loss = variance_loss
) -> tuple[Tensor, Tensor]:
    """Fit free parameters to Gaussian errors of known axes; return cosines and variances."""
    basis = torch.linalg.qr(randn(PIXELS, PIXELS, seed=7))[0]
    raw = (0.3 * randn(1, 3, *SHAPE, seed=8)).requires_grad_()
    optimiser = torch.optim.Adam([raw], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    scale = ErrorScale(error_norm)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(9)
    everyone = {"all": torch.arange(256)}
    for step in range(steps):
        z = torch.randn(256, PIXELS, generator=generator, dtype=torch.float64)
        error = ((z * variances.sqrt()) @ basis.mT).reshape(256, *SHAPE)
        directions, std = gram_schmidt(raw)
        directions, std = directions.expand(256, 3, *SHAPE), std.expand(256, 3)
        loss = direction_loss(directions, error)
        weight = 0.0 if step < steps // 3 else 1.0
        loss = loss + weight * lengths(directions, std, error, scale(error, everyone))
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
        schedule.step()
    directions, std = gram_schmidt(raw.detach())
    return (directions.flatten(2)[0] @ basis[:, :3]).diagonal().abs(), std[0].square()


VARIANCES = torch.arange(1, PIXELS + 1).double() ** -1.5


@pytest.fixture(scope="module")
def shrinkage() -> np.ndarray:
    r"""The closed form of the bias of ``per_image``, by quadrature over ``t``.

    ``beta_i = int t phi / (1 + 2 t lambda_i) dt / int t phi dt`` with
    ``phi = prod_j (1 + 2 t lambda_j)^(-1/2)``.
    """
    t = np.logspace(-6, 6, 200_001)
    variances = VARIANCES.numpy()
    phi = np.exp(-0.5 * np.log1p(2 * t[:, None] * variances).sum(1))
    below = np.trapezoid(t * phi, t)
    above = [np.trapezoid(t * phi / (1 + 2 * t * v), t) for v in variances[:3]]
    return np.array(above) / below


@pytest.mark.parametrize("error_norm", ["running", "none"])
def test_the_losses_find_the_axes_and_their_true_variances(error_norm: str) -> None:
    cosines, variances = trained(error_norm, VARIANCES)
    assert (cosines > np.cos(np.radians(5))).all(), cosines
    torch.testing.assert_close(variances, VARIANCES[:3], rtol=0.06, atol=0)


def test_the_likelihood_finds_them_too_even_where_they_are_small() -> None:
    small = torch.cat([torch.tensor([0.05, 0.04, 0.03]), torch.full((PIXELS - 3,), 0.02)]).double()
    _, variances = trained("running", small, lengths=likelihood_loss)
    torch.testing.assert_close(variances, small[:3], rtol=0.1, atol=0)


def test_a_component_that_is_nearly_another_does_not_hide_the_rest() -> None:
    raw, error = randn(1, 2, *SHAPE), randn(1, *SHAPE, seed=1)
    one = torch.ones(1, dtype=torch.float64)
    slopes = []
    for apart in (1.0, 1e-4):
        close = torch.stack([raw[:, 0], raw[:, 0] + apart * raw[:, 1]], 1).requires_grad_()
        directions, std = gram_schmidt(close)
        likelihood_loss(directions, std, error, PIXELS * one).sum().backward()
        assert close.grad is not None
        slopes.append(float(close.grad.norm()))
    assert slopes[1] < 60 / PIXELS**0.5, "at most MAX_RATIO / rho for each"


def test_the_published_normalisation_shrinks_variances_as_the_closed_form_says(
    shrinkage: np.ndarray,
) -> None:
    cosines, variances = trained("per_image", VARIANCES)
    assert (cosines > np.cos(np.radians(5))).all(), cosines
    assert (shrinkage < 0.8).all(), "or there is nothing to see"
    np.testing.assert_allclose(variances, shrinkage * VARIANCES[:3].numpy(), rtol=0.06)


def test_the_running_scale_of_an_image_knows_nothing_of_the_image() -> None:
    scale = ErrorScale("running", keep=0.9)
    groups = {"a": torch.tensor([0, 1]), "b": torch.tensor([2])}
    first = torch.full((3, *SHAPE), 2.0)
    assert torch.equal(scale(first, groups), torch.full((3,), 4.0 * PIXELS))
    assert torch.equal(scale(10 * first, groups), torch.full((3,), 4.0 * PIXELS))
    third = scale(first, groups)
    torch.testing.assert_close(third, torch.full((3,), (0.9 * 4 + 0.1 * 400) * PIXELS))
