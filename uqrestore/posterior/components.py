r"""Principal components of posterior draws, with standard deviations that are not too long.

With L draws of an image of n pixels, L much smaller than n, the covariance never needs to be
formed: its nonzero eigenvalues are those of the L x L Gram matrix of the centred draws.

The eigenvalues themselves are biased: a direction chosen to fit L draws explains those draws
better than the next one. They are therefore cross-fitted: directions from most of the draws, the
variance along them from the draws that were left out.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqrestore.posterior._scratch import let_go

MOST_FOLDS = 20  # beyond, each fold costs an eigendecomposition and changes the variance little


@dataclass(frozen=True, eq=False)
class GramComponents:
    """Principal components as weights of the draws.

    Attributes:
        weights: Direction ``k`` is ``weights[k] @ centred_draws``, of unit norm (zero where the
            draws do not vary).
        variance: Debiased variance of the posterior along each direction.
        fitted_variance: Variance of the same draws the directions were fitted to; too large.
        total: Unbiased estimate of the whole variance, the trace of the covariance.
    """

    weights: Float[np.ndarray, "component draw"]
    variance: Float[np.ndarray, " component"]
    fitted_variance: Float[np.ndarray, " component"]
    total: float


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of the draws of one image.

    Attributes:
        directions: Unit norm, ordered by ``fitted_variance``.
        std: Debiased posterior standard deviation along each.
        explained: Share of the whole variance along each.
    """

    directions: Float[np.ndarray, " component *shape"]
    std: Float[np.ndarray, " component"]
    explained: Float[np.ndarray, " component"]


def principal_components(
    draws: Float[np.ndarray, " draw *shape"], count: int, *, folds: int = MOST_FOLDS
) -> Components:
    """Find the directions along which posterior draws vary most.

    Args:
        draws: Independent draws of one image.
        count: Number of components; at most the number of draws less two, since one more is
            taken by the mean and one is left out in turn.
        folds: Number of groups left out in turn; 2 to the number of draws.

    Returns:
        Components whose ``std`` is measured on draws that had no part in the direction.

    Raises:
        ValueError: If there are too few draws for so many components, or too few are left of them
            when a fold is left out.
    """
    flat = draws.reshape(len(draws), -1).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    found = components_from_gram(centred @ centred.T, count, folds=folds)
    return Components(
        directions=(found.weights @ centred).reshape(count, *draws.shape[1:]),
        std=np.sqrt(found.variance),
        explained=found.variance / max(found.total, np.finfo(float).tiny),
    )


def components_from_gram(
    gram: Float[np.ndarray, "draw draw"], count: int, *, folds: int = MOST_FOLDS
) -> GramComponents:
    r"""Find components from the inner products of draws alone.

    For a fold of draws :math:`h` let :math:`T` be the :math:`n` others, with mean
    :math:`m_T` and directions :math:`v_k^T`. A draw of the posterior has
    :math:`E[(v_k^T \cdot (x_h - m_T))^2] = \sigma_k^2 (1 + 1/n)`, since :math:`m_T` is off by
    :math:`1/n` of the variance, so :math:`n / (n + 1)` of the mean square over all left-out
    draws is an unbiased estimate of the variance along directions fitted to :math:`n` draws.
    All of it follows from the Gram matrix: the draws are not read again.

    Args:
        gram: Inner products of the draws; any common shift of the draws gives the same result.
        count: Number of components.
        folds: Number of groups left out in turn.

    Raises:
        ValueError: If ``count`` exceeds the number of draws less two, or that of the draws that
            any fold leaves less one.
    """
    draws = len(gram)
    if not 0 <= count <= draws - 2:
        raise ValueError(
            f"{count} components need at least {count + 2} draws but there are {draws}; draw more "
            "or ask for fewer components."
        )
    groups = np.array_split(np.arange(draws), min(max(folds, 2), draws))
    left = draws - len(groups[0])
    if count > left - 1:
        raise ValueError(
            f"{count} components need at least {count + 1} draws beside those left out, but "
            f"{folds} folds of {draws} draws leave {left}; take more folds."
        )
    weights, fitted = _fit(gram, count)
    squares = np.zeros((draws, count))
    for left_out in groups:
        rest = np.setdiff1d(np.arange(draws), left_out)
        n = len(rest)
        inner = gram[np.ix_(rest, rest)]
        fold_weights, _ = _fit(inner, count)
        from_mean = gram[np.ix_(left_out, rest)] - inner.mean(axis=0)
        squares[left_out] = (from_mean @ fold_weights.T) ** 2 * n / (n + 1)
    return GramComponents(
        weights=weights,
        variance=squares.mean(axis=0),
        fitted_variance=fitted / (draws - 1),
        total=float(np.trace(_centred(gram))) / (draws - 1),
    )


def align_signs(
    directions: Float[np.ndarray, "component slice *shape"],
    std: Float[np.ndarray, "component slice"],
) -> None:
    """Give each component the same sign in neighbouring slices, in place.

    A principal component has no sign of its own. The slice where it is strongest gets the one
    that makes its largest entry positive; every other slice gets the one that agrees, by inner
    product, with the neighbour nearer to that slice.
    """
    for component, strength in zip(directions, std, strict=True):
        start = int(strength.argmax())
        flat = component.reshape(len(component), -1)
        peak = flat[start, np.abs(flat[start]).argmax()]
        if peak < 0:
            flat[start] *= -1
        for step, last in ((1, len(flat)), (-1, -1)):
            for k in range(start + step, last, step):
                if flat[k] @ flat[k - step] < 0:
                    flat[k] *= -1
                let_go(directions)


def _fit(
    gram: Float[np.ndarray, "draw draw"], count: int
) -> tuple[Float[np.ndarray, "component draw"], Float[np.ndarray, " component"]]:
    """Return weights that sum to 0 and give unit directions, and their eigenvalues."""
    values, vectors = np.linalg.eigh(_centred(gram))
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count].T
    floor = 1e-10 * max(float(values[0]) if count else 0.0, 0.0)
    varies = values > floor
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, values, 1)), 0)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    return vectors * scale[:, None], np.where(varies, values, 0)


def _centred(gram: Float[np.ndarray, "draw draw"]) -> Float[np.ndarray, "draw draw"]:
    rows = gram - gram.mean(axis=0)
    return rows - rows.mean(axis=1, keepdims=True)
