"""The demo on the scan that ships, with the exact prior that ships: fast, and the same path."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from uqrestore.cli.app import app
from uqrestore.demo import PIPELINE, DemoResult, demo_files, run_demo
from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.posterior import PosteriorError, validate


@pytest.fixture(autouse=True, scope="module")
def _exact_prior() -> Iterator[None]:
    def load(name: str, kind: type[RestorePipeline]) -> RestorePipeline:
        return change(load_pipeline(name, kind), prior="brain64-gaussian", draws=8)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("uqrestore.demo.load_pipeline", load)
        yield


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return run_demo(tmp_path_factory.mktemp("demo"), slices=2)


def test_the_demo_is_the_acquisition_it_says() -> None:
    pipeline = load_pipeline(PIPELINE, RestorePipeline)

    assert pipeline.operator is not None
    assert pipeline.operator.mask is not None
    assert pipeline.operator.mask.options == {"acceleration": 4, "center_lines": 5}
    assert pipeline.noise_std == 0
    assert (pipeline.draws, pipeline.components) == (32, 3)
    assert pipeline.method.name == "conditional"
    assert pipeline.method.options["sampler"] == "dpmpp_3m"


def test_the_demo_writes_a_sound_file_and_a_picture(result: DemoResult) -> None:
    assert (result.posterior, result.picture) == demo_files(result.posterior.parent)
    assert validate(result.posterior) == []
    assert result.picture.read_bytes().startswith(b"\x89PNG")


def test_every_draw_explains_the_data(result: DemoResult) -> None:
    assert 0 < result.residual < 1e-4


def test_a_prior_beats_zero_filling_and_nothing_linear_beats_linear_mmse(
    result: DemoResult,
) -> None:
    psnr = result.psnr

    assert psnr["linear_mmse"] > psnr["zero_filled"] + 2
    # The mean of eight draws of the same Gaussian: short of its exact posterior mean by the
    # spread of eight draws, 10 log10(1 + 1/8) = 0.5 dB, and by the bias of the method.
    assert psnr["linear_mmse"] - 1.5 < psnr["mean"] < psnr["linear_mmse"] + 0.1


def test_earlier_files_stay_unless_told(result: DemoResult) -> None:
    with pytest.raises(PosteriorError, match=r"brain\.posterior\.h5, .*brain\.png: exists already"):
        run_demo(result.posterior.parent, slices=1)


def test_the_command_prints_the_figures_and_where_the_files_are(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    done = CliRunner().invoke(app, ["demo", "--fast", "--draws", "6", "--out", str(folder)])

    assert done.exit_code == 0, done.output
    for words in ("zero-filled", "linear MMSE", "mean", "dB", "2 in network units", "||A x - y||"):
        assert words in done.stdout
    assert str(folder / "brain.posterior.h5") in done.stdout
    assert str(folder / "brain.png") in done.stdout


def test_fast_and_whole_exclude_each_other(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demo", "--fast", "--whole", "--out", str(tmp_path)])

    assert done.exit_code == 2
    assert "--fast" in done.stderr
