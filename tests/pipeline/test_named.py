"""A pipeline names what ships, or what a module of the user holds."""

from pathlib import Path

import pytest
import torch

from tests.front import read, tiny_pipeline, tiny_prior, tiny_scan, use_prior, write_pipeline
from uqrestore.pipeline import PipelineError, RestorePipeline, TrainPipeline, load_pipeline
from uqrestore.pipeline.reading import read_pipeline
from uqrestore.restoration.record import fingerprint
from uqrestore.restoration.restore import restore
from uqrestore.training.trainer import build_denoiser

OWN = """
import torch
from torch import nn
from uqrestore.networks import Backbone
from uqrestore.operators import Inpainting


def every(shape, *, step: int = 2):
    \"\"\"Show every step-th row.\"\"\"
    mask = torch.zeros(shape)
    mask[:, ::step] = 1
    return Inpainting(mask)


def shrink(problem, denoiser, noise, *, share: float = 0.5):
    \"\"\"Return noise around the minimum-norm image.\"\"\"
    image = problem.operator.pinv(problem.y)
    return image + share * noise.normal(problem.in_shape, image)


def broken(problem, denoiser, noise):
    return noise.normal(problem.in_shape, problem.y) / 0


class Tiny(Backbone):
    def __init__(self, image_shape, *, width: int = 4):
        super().__init__()
        self.image_shape, self.width = image_shape, width
        self.layer = nn.Conv2d(image_shape[0], image_shape[0], 3, padding=1)

    def forward(self, x, c_noise, label=None, measurement=None, *, augment=None):
        return self.layer(x)
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Write a module of the user, importable under a name that no other test uses."""
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def parts(own: str, method: str = "shrink") -> dict[str, object]:
    """Return the keys of a pipeline with an operator and a method of the user."""
    return {
        "operator": {"python": f"{own}:every", "step": 3},
        "method": {"python": f"{own}:{method}"},
        "baseline": None,
    }


def test_an_operator_and_a_method_of_the_user_restore_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    use_prior(monkeypatch, tiny_prior())
    tiny_pipeline(tmp_path, **parts(own))
    pipeline = load_pipeline(tmp_path / "tiny.yaml", RestorePipeline)

    out = restore(pipeline, tiny_scan(), tmp_path / "a.h5")

    rows = read(out, "posterior/image")[0].std(axis=0)[2]
    assert read(out, "observed_data/y")[:, :, 1::3].max() == 0, "rows in between are not measured"
    assert rows.mean() > 0
    again = read_pipeline(tmp_path / "tiny.yaml")
    assert type(again).model_validate(again.model_dump()) == again, "a file may be written from it"


def test_other_code_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    use_prior(monkeypatch, tiny_prior())
    pipeline = tiny_pipeline(tmp_path, **parts(own))
    before = fingerprint(pipeline, "scan")
    assert fingerprint(pipeline, "scan") == before
    with (tmp_path / f"{own}.py").open("a") as file:
        file.write("# changed\n")
    assert fingerprint(pipeline, "scan") != before


def test_a_plain_function_gets_the_checks_of_a_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    use_prior(monkeypatch, tiny_prior())
    pipeline = tiny_pipeline(tmp_path, **parts(own, "broken"))
    with pytest.raises(FloatingPointError, match="broken diverged"):
        restore(pipeline, tiny_scan(), tmp_path / "a.h5")


def test_a_network_of_the_user_is_built_for_training(tmp_path: Path, own: str) -> None:
    text = f"""\
kind: train
title: own
network: {{python: "{own}:Tiny", width: 6}}
data: {{files: [slices.h5], shape: [1, 16, 16]}}
samples: 8
"""
    (tmp_path / "train.yaml").write_text(text)
    pipeline = load_pipeline(tmp_path / "train.yaml", TrainPipeline)

    denoiser = build_denoiser(pipeline.config)

    assert denoiser.network.width == 6
    assert denoiser(torch.zeros(2, 1, 16, 16), torch.tensor(1.0)).shape == (2, 1, 16, 16)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere_at_all:shrink", "there is no such module.; install it, or set PYTHONPATH"),
        ("OWN:shrunk", "has no function or class 'shrunk'. Did you mean 'shrink'?"),
        ("OWN", "write 'python: package.module:name' instead of 'name'"),
        ("os.system(1):x", "write 'python: package.module:name' instead of 'name'"),
        ("OWN:torch", "has no function or class 'torch'"),
    ],
)
def test_what_cannot_be_imported_is_named_with_file_and_line(
    tmp_path: Path, own: str, name: str, words: str
) -> None:
    path = write_pipeline(tmp_path, method={"python": name.replace("OWN", own)})
    with pytest.raises(PipelineError, match=rf"tiny\.yaml:\d+: method.*{words}"):
        load_pipeline(path, RestorePipeline)


def test_an_option_of_an_own_method_is_checked(tmp_path: Path, own: str) -> None:
    path = write_pipeline(tmp_path, method={"python": f"{own}:shrink", "shar": 1})
    with pytest.raises(PipelineError, match=r"has no 'shar'.*Did you mean 'share'"):
        load_pipeline(path, RestorePipeline)
