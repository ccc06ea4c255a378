"""Operators from a few numbers, and methods from a sweep."""

import pytest
import torch

from uqrestore.operators import OPERATORS, PIPELINE_OPERATORS, Radon
from uqrestore.pipeline.build import build_operator
from uqrestore.pipeline.kinds import BenchmarkPipeline
from uqrestore.pipeline.parts import OperatorPart

SHAPE = (1, 12, 8)


@pytest.mark.parametrize(
    ("name", "options", "measured"),
    [("strided_blur", {"std": 1.0, "stride": 2, "size": 5}, 24), ("matrix", {"ratio": 0.25}, 24)],
)
def test_a_pipeline_makes_an_operator_of_numbers(
    name: str, options: dict[str, float], measured: int
) -> None:
    operator = build_operator(OperatorPart(name=name, options=options), SHAPE, (0, 1))
    assert isinstance(operator, OPERATORS[name])
    assert operator.in_shape == SHAPE
    y = operator(torch.ones(SHAPE))
    assert y.dtype == torch.float32
    assert int((y != 0).sum()) == measured


def test_views_are_spread_evenly_over_half_a_turn() -> None:
    part = OperatorPart(name="radon", options={"views": 4, "detectors": 15})
    operator = build_operator(part, SHAPE, (0,))
    assert isinstance(operator, Radon)
    assert operator.angles.tolist() == [0, 45, 90, 135]
    assert operator.out_shape == (1, 4, 15)


def test_a_pipeline_can_name_every_operator() -> None:
    assert set(PIPELINE_OPERATORS) == set(OPERATORS)
    for name, make in PIPELINE_OPERATORS.items():
        assert make is OPERATORS[name] or make.__self__ is OPERATORS[name]  # type: ignore[attr-defined]


def raw(method: object) -> dict[str, object]:
    operators = {"a": {"name": "identity"}}
    fields: dict[str, object] = {"kind": "benchmark", "title": "t", "prior": "p"}
    return fields | {"operators": operators, "methods": {"ssd": method}}


def test_a_sweep_is_every_combination() -> None:
    sweep = {"t0": [350, 550], "injection": [0, 2, 4]}
    pipeline = BenchmarkPipeline.model_validate(raw({"name": "ssd", "steps": 9, "sweep": sweep}))
    assert len(pipeline.methods) == 6
    part = pipeline.methods["ssd, t0=550, injection=4"]
    assert part.options == {"steps": 9, "t0": 550, "injection": 4}
    again = BenchmarkPipeline.model_validate(pipeline.model_dump())
    assert again == pipeline


def test_a_sweep_of_no_list_is_named() -> None:
    with pytest.raises(ValueError, match=r"methods\.ssd\.sweep: give each option a list"):
        BenchmarkPipeline.model_validate(raw({"name": "ssd", "sweep": {"t0": 350}}))
