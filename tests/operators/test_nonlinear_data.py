"""Nonlinear operators are rebuilt from what a posterior file holds of them."""

import json

import numpy as np
import pytest
import torch

from tests.operators.test_nonlinear import CASES
from uqrestore.operators import from_data
from uqrestore.operators.nonlinear import UncertainOperator


@pytest.mark.parametrize("name", CASES)
def test_an_operator_is_rebuilt_from_text_and_arrays(name: str) -> None:
    operator = CASES[name](torch.Generator().manual_seed(0)).to(torch.float64)
    params, arrays = operator.to_data()
    copies = {key: np.array(value) for key, value in arrays.items()}
    rebuilt = from_data(operator.name, json.loads(json.dumps(params)), copies)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(
        2, *operator.problem_shape, *operator.in_shape, generator=generator, dtype=torch.float64
    )
    assert torch.equal(rebuilt(x), operator(x))
    if isinstance(operator, UncertainOperator):
        assert isinstance(rebuilt, UncertainOperator)
        assert rebuilt.parameters == operator.parameters
