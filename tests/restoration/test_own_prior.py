"""A pipeline whose prior is a function of the user."""

import json
from pathlib import Path

import numpy as np
import pytest

import uqrestore as uq
from tests.front import read, tiny_pipeline, tiny_prior, tiny_scan, use_prior, write_pipeline
from uqrestore.batch import run_batch
from uqrestore.pipeline import PipelineError, RestorePipeline, load_pipeline, read_pipeline
from uqrestore.priors import LowRankGaussian
from uqrestore.restoration.prior_cache import load_denoiser
from uqrestore.restoration.record import fingerprint
from uqrestore.restoration.restore import restore

OWN = """
from pathlib import Path

import torch
from torch import nn

import uqrestore as uq
from tests.front import SHAPE
from tests.restoration.test_own_prior import mild_prior


class Network(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x, sigma):
        return self.factor * mild_prior()(x, sigma)


def prior(*, factor: float = 1.0, weights: str = "", contrast: str = "T1w"):
    card = {"voxel_size": 4.0, "contrast": contrast}
    return uq.wrap(Network(factor), "edm", SHAPE, card=card)


def number():
    return 3


def wrong_card():
    return uq.wrap(Network(1.0), "edm", SHAPE, card={"voxel_size": -1})
"""


def mild_prior() -> LowRankGaussian:
    """Return the tiny prior with fainter images, which lie within [-1, 1]."""
    prior = tiny_prior()
    return LowRankGaussian(prior.mean, 0.3 * prior.factors, tau=0.01)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Write a module of the user, importable under a name that no other test uses."""
    name = f"prior_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_it_restores_as_the_same_prior_of_the_zoo_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    weights = tmp_path / "of a person.pt"
    weights.touch()
    given = {"python": f"{own}:prior", "weights": str(weights)}
    write_pipeline(tmp_path, prior=given, baseline=None)
    pipeline = load_pipeline(tmp_path / "tiny.yaml", RestorePipeline)

    out = restore(pipeline, tiny_scan(), tmp_path / "own.h5")

    use_prior(monkeypatch, mild_prior())
    known = restore(tiny_pipeline(tmp_path, baseline=None), tiny_scan(), tmp_path / "zoo.h5")
    ours, theirs = (read(path, "posterior/image") for path in (out, known))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3 * theirs.max())
    posterior = uq.open(out)
    stated = posterior.provenance["pipeline"]["prior"]
    assert stated == {"name": f"{own}:prior", "options": {"weights": "of a person.pt"}}
    assert str(tmp_path) not in json.dumps(posterior.provenance), "folders name a machine"
    assert posterior.provenance["prior"]["name"] == f"{own}:prior"
    posterior.report(tmp_path / "own.html")
    assert f"{own}:prior" in (tmp_path / "own.html").read_text()
    again = read_pipeline(write_pipeline(tmp_path, prior=given, baseline=None))
    assert type(again).model_validate(again.model_dump()) == again, "a file may be written from it"


def test_a_run_is_known_by_tensors_options_and_code(tmp_path: Path, own: str) -> None:
    def name(**options: object) -> str:
        given = {"python": f"{own}:prior", **options}
        return fingerprint(tiny_pipeline(tmp_path, prior=given, baseline=None), "scan")

    before = name()
    assert name() == before
    assert name(factor=0.999) != before
    assert name(contrast="T2w") != before
    (tmp_path / f"{own}.py").write_text(OWN + "# changed\n")
    assert name() != before


def test_a_batch_takes_it(tmp_path: Path, own: str) -> None:
    from tests.front import write_scan
    from uqrestore.batch import Job, Task

    scan = write_scan(tmp_path / "a.nii.gz")
    pipeline = tiny_pipeline(tmp_path, prior={"python": f"{own}:prior"}, baseline=None)
    job = Job(pipeline, tmp_path / "out")
    assert [r.status for r in run_batch([Task("a", scan)], job).records] == ["done"]
    assert [r.status for r in run_batch([Task("a", scan)], job).records] == ["skipped"]


def test_mistakes_are_named(tmp_path: Path, own: str) -> None:
    for prior, text in (
        (
            {"python": f"{own}:nothing"},
            r"tiny.yaml:\d+: prior.name: prior '.*': .* has no function",
        ),
        ({"python": f"{own}:prior", "width": 3}, r"prior.width: .* has no 'width'; it can be"),
        ({"python": f"{own}:prior", "factor": "x"}, r"prior.factor: .*valid number"),
        ({"name": "brain64-prior"}, r"prior: write the name of a prior, or \{python"),
        (["brain64-prior"], r"prior: write the name of a prior, or"),
    ):
        path = write_pipeline(tmp_path, prior=prior, baseline=None)
        with pytest.raises(PipelineError, match=text):
            load_pipeline(path, RestorePipeline)
    for function, text in (
        ("number", r"returned int; return uqrestore.wrap\(network, kind, in_shape\)"),
        ("wrong_card", "card of .*wrong_card: voxel_size: "),
    ):
        pipeline = tiny_pipeline(tmp_path, prior={"python": f"{own}:{function}"}, baseline=None)
        with pytest.raises(ValueError, match=text):
            load_denoiser(pipeline.prior)


def test_a_network_that_is_not_what_was_declared_is_refused_before_drawing(
    tmp_path: Path, own: str
) -> None:
    given = {"python": f"{own}:prior", "factor": 0.2}
    pipeline = tiny_pipeline(tmp_path, prior=given, baseline=None)
    with pytest.raises(ValueError, match="not what was declared"):
        restore(pipeline, tiny_scan(), tmp_path / "own.h5")
    assert not (tmp_path / "own.h5").exists()
