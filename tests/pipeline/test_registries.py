"""Names and options are held against the registries before any work starts."""

from pathlib import Path

import pytest

from tests.front import PIPELINE, write_pipeline
from uqrestore.pipeline import (
    BenchmarkPipeline,
    PipelineError,
    RestorePipeline,
    TrainPipeline,
    list_pipelines,
    load_pipeline,
    read_pipeline,
)
from uqrestore.pipeline.check import MASK_INPUTS, METHOD_INPUTS, NameFault, typed_options
from uqrestore.pipeline.kinds import KINDS


def method(
    problem: object, *, steps: int = 3, eta: float = 0.5, names: list[str] | None = None
) -> None:
    """Stand in for a method."""


def test_every_pipeline_that_ships_names_what_exists() -> None:
    for name, path in list_pipelines().items():
        kind = type(read_pipeline(path))
        assert kind in KINDS.values()
        load_pipeline(name, kind)


def test_options_come_out_in_the_types_that_are_declared() -> None:
    # YAML reads 1e-1 as a text.
    options = typed_options(("method",), "m", {"steps": "7", "eta": "1e-1"}, method, METHOD_INPUTS)

    assert options == {"steps": 7, "eta": 0.1}


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"step": 3}, ("method", "step"), "m has no 'step'; it can be eta, names, steps. Did you"),
        ({"problem": 3}, ("method", "problem"), "m has no 'problem'"),
        ({"steps": 1.5}, ("method", "steps"), "integer"),
        ({"names": 3}, ("method", "names"), "list"),
    ],
)
def test_a_wrong_option_is_named(
    options: dict[str, object], key: tuple[str, ...], words: str
) -> None:
    with pytest.raises(NameFault) as caught:
        typed_options(("method",), "m", options, method, METHOD_INPUTS)

    assert caught.value.key == key
    assert words in caught.value.text


def test_only_what_the_program_supplies_to_this_kind_is_no_option() -> None:
    def method(problem: object, *, shape: int = 3, noise: object = None) -> None:
        """Stand in for a method with an option called as an argument of operators."""

    assert typed_options(("method",), "m", {"shape": 4}, method, METHOD_INPUTS) == {"shape": 4}
    with pytest.raises(NameFault, match="m has no 'noise'"):
        typed_options(("method",), "m", {"noise": 4}, method, METHOD_INPUTS)


def test_an_option_that_must_be_given_is_named() -> None:
    def law(shape: tuple[int, int], keep: float, generator: object) -> None:
        """Stand in for a mask pattern."""

    with pytest.raises(NameFault, match="law needs keep"):
        typed_options(("operator", "mask"), "law", {}, law, MASK_INPUTS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"operator": {"name": "identity", "mask": {"law": "box"}}}, "identity has no mask"),
        ({"operator": {"name": "coil_fourier"}}, "which a pipeline cannot hold"),
        (
            {"operator": {"name": "inpainting", "mask": {"law": "cartesain"}}},
            "operator.mask.law: there is no mask law 'cartesain'",
        ),
    ],
)
def test_a_wrong_operator_is_named(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(PipelineError, match=r"tiny\.yaml:\d+: operator") as caught:
        load_pipeline(write_pipeline(tmp_path, **changes), RestorePipeline)

    assert words in str(caught.value)


def write_benchmark(folder: Path) -> Path:
    operators = {"a b": PIPELINE["operator"]}
    methods = {"first": {"name": "ddnm"}, "other": {"name": "ddnm", "stepz": 1}}
    bench = {"kind": "benchmark", "operators": operators, "methods": methods}
    path = write_pipeline(folder, **bench)
    unwanted = ("operator:", "method:", "baseline:", "components:")
    import yaml

    kept = {k: v for k, v in yaml.safe_load(path.read_text()).items() if f"{k}:" not in unwanted}
    path.write_text(yaml.safe_dump(kept))
    return path


def test_a_benchmark_names_the_label_of_a_wrong_part(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"methods\.other\.stepz: ddnm has no 'stepz'"):
        load_pipeline(write_benchmark(tmp_path), BenchmarkPipeline)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: hdit", "name: hidt", "network.name: there is no backbone 'hidt'"),
        ("widths:", "width:", "network.width: hdit has no 'width'"),
        ("samples:", "sampels:", "Did you mean 'samples'?"),
        ("lr:", "learning_rate:", "optimiser.learning_rate"),
    ],
)
def test_a_wrong_training_pipeline_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = list_pipelines()["train-brain-prior"].read_text()
    assert old in text
    path = tmp_path / "train.yaml"
    path.write_text(text.replace(old, new))

    with pytest.raises(PipelineError) as caught:
        load_pipeline(path, TrainPipeline)
    assert words in str(caught.value)


def test_the_wrong_kind_is_named() -> None:
    with pytest.raises(PipelineError, match=r"brain-cs4-ssd\.yaml:\d+: kind: is 'restore', but"):
        load_pipeline("brain-cs4-ssd", TrainPipeline)
