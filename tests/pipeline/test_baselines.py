"""Baselines of a pipeline: names, options, and hashes of pipelines without them."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.front import tiny_pipeline, write_pipeline
from uqrestore.pipeline import PipelineError, RestorePipeline, change, load_pipeline


def test_a_name_alone_and_a_name_with_options(tmp_path: Path) -> None:
    parts = ["zero_filled", "cg_sense", {"name": "l1_wavelet", "weight": 0.003, "wavelet": "db4"}]
    path = write_pipeline(tmp_path, baselines=parts)
    pipeline = load_pipeline(path, RestorePipeline)
    assert [part.name for part in pipeline.baselines] == ["zero_filled", "cg_sense", "l1_wavelet"]
    assert pipeline.baselines[2].options == {"weight": 0.003, "wavelet": "db4"}
    assert change(pipeline, draws=8).baselines == pipeline.baselines


def test_a_pipeline_without_baselines_keeps_its_hash(tmp_path: Path) -> None:
    plain = tiny_pipeline(tmp_path)
    known = {"title", "description", "batch_size", "baselines", "refine_maps"}
    known |= {"noise", "linearise", "unknown"}
    fields = plain.model_dump(mode="json", exclude=known)
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    assert plain.sha256 == hashlib.sha256(text.encode()).hexdigest()
    one = tiny_pipeline(tmp_path, baselines=["l1_wavelet"])
    other = tiny_pipeline(tmp_path, baselines=[{"name": "l1_wavelet", "weight": 0.1}])
    assert len({plain.sha256, one.sha256, other.sha256}) == 3


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (["l1_wavlet"], "baselines.0: there is no baseline 'l1_wavlet'; it can be cg_sense, "),
        (["cg_sense", {"name": "l1_wavelet", "wieght": 1}], "baselines.1.wieght: l1_wavelet has"),
        ([{"name": "l1_wavelet", "weight": -1}], "baselines.0.weight: should be greater than 0"),
        ([{"name": "l1_wavelet", "wavelet": "sym4"}], "baselines.0.wavelet: "),
        ([{"name": "zero_filled", "weight": 1}], "baselines.0.weight: zero_filled has no"),
        ([{"python": "os:getcwd"}], "baselines.0: there is no baseline 'os:getcwd'"),
        (["cg_sense", "cg_sense"], "baselines: cg_sense is named twice; keep one."),
        ([3], "baselines.0: "),
        ("cg_sense", "baselines: "),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, parts: list[object], words: str) -> None:
    with pytest.raises(PipelineError) as caught:
        load_pipeline(write_pipeline(tmp_path, baselines=parts), RestorePipeline)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
