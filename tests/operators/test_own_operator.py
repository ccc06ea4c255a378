"""The operator of the how-to page passes the tests that the page lists."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Generator

from tests.operators import test_identities
from uqrestore.operators import LinearOperator

PAGE = Path(__file__).parents[2] / "docs" / "how-to"
IDENTITIES: dict[str, Callable[[LinearOperator], None]] = {
    "adjoint": lambda A: test_identities.test_adjoint_is_the_transpose(A, (2,)),
    "autograd": test_identities.test_adjoint_matches_autograd,
    "penrose": lambda A: test_identities.test_pinv_obeys_penrose(A, torch.float64, 1e-9),
    "dense": test_identities.test_pinv_is_that_of_the_dense_matrix,
    "padding": test_identities.test_padding_is_zero_and_ignored,
    "spectrum": test_identities.test_spectrum_rebuilds_the_operator,
    "wiener": test_identities.test_solve_is_the_wiener_estimate,
    "noise": test_identities.test_noise_gain_is_the_size_of_the_pseudo_inverse,
    "moving": test_identities.test_moving_keeps_the_operator,
    "wrong shape": test_identities.test_wrong_shape_is_named,
}


@pytest.mark.parametrize("identity", sorted(IDENTITIES))
def test_the_operator_of_the_page_obeys(identity: str) -> None:
    spec = importlib.util.spec_from_file_location("gain", PAGE / "gain.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    gain = torch.rand(3, 7, 6, generator=Generator().manual_seed(0), dtype=torch.float64)
    IDENTITIES[identity](module.Gain((gain > 0.2) * (1 + gain)))


def test_the_page_shows_that_file() -> None:
    assert "```{literalinclude} gain.py" in (PAGE / "own-operator.md").read_text()
