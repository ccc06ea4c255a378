"""An argument of another kind than its field is refused by one line that names both."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
import torch

from tests.operators.cases import CASES
from uqrestore.operators import OPERATORS, LinearOperator, Radon
from uqrestore.operators.nonlinear import Affine

pytestmark = pytest.mark.usefixtures("as_users_run_it")
WRONG = [64, 2.5, "text", None, [1.0], (3, 7), (1, 64, 64), {}, object(), torch.ones(3)]


def arguments(operator: LinearOperator) -> dict[str, Any]:
    fields = (field for field in dataclasses.fields(operator) if field.init)  # type: ignore[arg-type]
    return {field.name: getattr(operator, field.name) for field in fields}


@pytest.mark.parametrize("name", sorted(OPERATORS))
@pytest.mark.parametrize("wrong", [64, "text", None, {}, object()], ids=lambda w: type(w).__name__)
def test_a_first_argument_of_another_kind_is_named(name: str, wrong: object) -> None:
    given = arguments(CASES[name](torch.Generator().manual_seed(0)))
    first = next(iter(given))
    with pytest.raises(
        ValueError, match=f"^{name}: {first} must be a .* but is .*{first}[,)]"
    ) as at:
        OPERATORS[name](**{**given, first: wrong})
    assert "\n" not in str(at.value)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_no_argument_ends_in_another_error_than_the_operators_own(name: str) -> None:
    given = arguments(CASES[name](torch.Generator().manual_seed(0)))
    refused: list[str] = []
    for field in given:
        for wrong in WRONG:
            try:
                OPERATORS[name](**{**given, field: wrong})
            except ValueError as fault:
                refused.append(str(fault))
    assert len(refused) >= 5 * len(given)
    assert all(line.startswith(f"{name}: ") and "\n" not in line for line in refused), refused


def test_swapped_arguments_are_named_in_their_order() -> None:
    line = (
        "radon: angles must be a tensor or NumPy array but is 64 (int); the order is "
        "Radon(angles, shape, detectors, tol, max_iter)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        Radon(64, torch.linspace(0, 170, 18))  # type: ignore[arg-type]


def test_an_operator_that_is_not_linear_names_its_arguments_too() -> None:
    with pytest.raises(ValueError, match="affine: low must be a number but is 'dark'"):
        Affine((1, 5, 7), low="dark", high=1.0)  # type: ignore[arg-type]


def test_sizes_of_torch_and_numbers_of_numpy_are_taken() -> None:
    seen = Radon(torch.tensor([10.0, 100]), torch.ones(1, 5, 4).shape, tol=np.float32(0.1))  # type: ignore[arg-type]
    assert seen.in_shape == (1, 5, 4)
