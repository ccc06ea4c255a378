"""The demos on the scans that ship, with a prior or a method that is fast, on the same path."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from uqrestore.cli.app import app
from uqrestore.demo import DemoResult, demo_files, run_brain_demo
from uqrestore.demo.brain import PIPELINE
from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.posterior import PosteriorError, PosteriorFile, validate


@pytest.fixture(autouse=True, scope="module")
def _fast_pipelines() -> Iterator[None]:
    def exact(name: str, kind: type[RestorePipeline]) -> RestorePipeline:
        return change(load_pipeline(name, kind), prior="brain64-gaussian", draws=8)

    def few_calls(name: str, kind: type[RestorePipeline]) -> RestorePipeline:
        return change(load_pipeline(name, kind), method={"name": "fitted_gaussian", "levels": 14})

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("uqrestore.demo.brain.load_pipeline", exact)
        monkeypatch.setattr("uqrestore.demo.head.load_pipeline", few_calls)
        yield


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return run_brain_demo(tmp_path_factory.mktemp("demo"), slices=2)


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
    assert (result.posterior, result.picture) == demo_files(result.posterior.parent, "brain")
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


def test_earlier_files_stay_without_overwrite(result: DemoResult) -> None:
    with pytest.raises(PosteriorError, match=r"brain\.posterior\.h5, .*brain\.png: exists already"):
        run_brain_demo(result.posterior.parent, slices=1)


def test_the_same_demo_again_makes_what_is_missing_alone(result: DemoResult) -> None:
    before, lines = result.posterior.stat().st_mtime_ns, []
    result.picture.unlink()  # as after a kill between the two

    again = run_brain_demo(result.posterior.parent, slices=2, notify=lines.append)

    assert any("nothing to do" in line for line in lines)
    assert result.posterior.stat().st_mtime_ns == before
    assert again.picture.read_bytes().startswith(b"\x89PNG")
    assert (again.psnr, again.coverage) == (result.psnr, result.coverage)


def test_the_command_prints_the_figures_and_where_the_files_are(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    done = CliRunner().invoke(
        app, ["demo", "--brain", "--fast", "--draws", "6", "--out", str(folder)]
    )

    assert done.exit_code == 0, done.output
    for words in ("zero-filled", "linear MMSE", "mean", "dB", "2 in network units", "||A x - y||"):
        assert words in done.stdout
    assert str(folder / "brain.posterior.h5") in done.stdout
    assert str(folder / "brain.png") in done.stdout


def test_fast_and_whole_exclude_each_other(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demo", "--brain", "--fast", "--whole", "--out", str(tmp_path)])

    assert done.exit_code == 2
    assert "--fast" in done.stderr


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the command as it is typed; return its folder and what it prints."""
    folder = tmp_path_factory.mktemp("head")
    done = CliRunner().invoke(app, ["demo", "--draws", "2", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    return folder, done.stdout


def test_the_raw_demo_writes_a_sound_file_a_picture_and_a_report(head: tuple[Path, str]) -> None:
    folder, _ = head
    posterior, picture = demo_files(folder, "head")
    assert validate(posterior) == []
    assert picture.read_bytes().startswith(b"\x89PNG")
    page = (folder / "head.report.html").read_text()
    assert "By coil" in page
    assert 'id="volume"' not in page, "one slice is no volume"
    assert " data-slice min" not in page, "and has no other to turn to"
    assert "1 slice." in page
    assert "\u00d710\u207b\u2076 a.u." in page, "a millionth of a unit is not written as 1e-06"


def test_the_raw_demo_keeps_one_line_in_four(head: tuple[Path, str]) -> None:
    with PosteriorFile(demo_files(head[0], "head")[0]) as file:
        measured = np.abs(file["observed_data/y"].values).sum(axis=(0, 1, 2)) > 0
    lines = measured.all(axis=0)
    assert (lines == measured.any(axis=0)).all(), "whole lines"
    assert lines.sum() == round(len(lines) / 4)
    middle = len(lines) // 2
    assert lines[middle - 12 : middle + 12].all()


def test_the_raw_demo_restores_towards_its_fully_sampled_reference(head: tuple[Path, str]) -> None:
    with PosteriorFile(demo_files(head[0], "head")[0]) as file:
        figures = file.figures
    # Two draws of few levels: far from the best, but nothing shifted or scaled gains on this.
    assert figures["psnr_mean"] > figures["psnr_zero_filled"] + 1.5
    assert figures["psnr_cg_sense"] > figures["psnr_zero_filled"] + 2


def test_the_raw_demo_prints_its_figures_and_files(head: tuple[Path, str]) -> None:
    folder, printed = head
    for words in (
        "zero-filled",
        "CG-SENSE",
        "mean",
        "chi-square per measurement",
        "intervals hold",
    ):
        assert words in printed
    for path in (*demo_files(folder, "head"), folder / "head.report.html"):
        assert str(path) in printed
    assert "25.0% of fully sampled k-space kept" in printed


def test_whole_is_for_the_brain(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demo", "--whole", "--out", str(tmp_path)])

    assert done.exit_code == 2
    assert "--brain" in done.stderr
