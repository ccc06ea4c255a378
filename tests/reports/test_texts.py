"""What the page states is true of the file it was made from."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.reports.cases import write_plain
from tests.reports.test_page import Elements
from uqrestore.posterior.example import example_plan
from uqrestore.reports.contents import Contents
from uqrestore.reports.example import write_example
from uqrestore.reports.findings import find
from uqrestore.reports.page import write_report
from uqrestore.reports.read import read_contents
from uqrestore.reports.sections import numbers, provenance
from uqrestore.reports.units import display_unit

PIPELINE: dict[str, Any] = {
    "kind": "restore",
    "method": {"name": "ssd", "options": {}},
    "operator": {"name": "identity", "options": {}},
    "noise_std": 0.0,
}


def contents(tmp_path: Path, **stated: Any) -> Contents:  # noqa: ANN401
    plan = example_plan(draws=5)
    values = {"pipeline": PIPELINE, "scan": {"name": "a scan.nii.gz"}} | stated
    plan = dataclasses.replace(plan, provenance=values)
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.posterior.h5"
    return read_contents(write_plain(path, plan))


def text(path: Path, folder: Path) -> str:
    return Elements(write_report(path, folder).page).text


def test_slices_are_called_independent_only_where_they_are() -> None:
    assert "independently of each other" in numbers._slices({"pipeline": PIPELINE})
    coherent = numbers._slices({"pipeline": PIPELINE | {"axial_mm": 5.5}})
    assert "independently" not in coherent
    assert "5.5 mm" in coherent


def test_the_command_holds_every_option_of_the_run(tmp_path: Path) -> None:
    options = {
        "slices": 3,
        "indices": [1, 2, 3],
        "resample": True,
        "mask_sha256": "beef",
        "volume": 0,
        "allow_gaps": True,
        "keep": "thin",
        "bits": 7,
    }
    lines = provenance.again(contents(tmp_path, options=options)).splitlines()
    assert "# MASK is the file with sha256 beef" in lines
    command = shlex.split(lines[-1])
    assert command[:3] == ["uqrestore", "reconstruct", "a scan.nii.gz"]
    for wanted in ("--slices 3", "--volume 0", "--keep thin", "--bits 7", "--mask MASK"):
        assert wanted in " ".join(command)
    assert {"--resample", "--allow-gaps"} <= set(command)


def test_the_command_is_one_that_the_command_line_takes(tmp_path: Path) -> None:
    import typer

    from uqrestore.cli.app import app

    known = typer.main.get_command(app).commands["reconstruct"]  # pyright: ignore
    options = {"resample": True, "allow_gaps": True, "mask_sha256": "beef"}
    options |= {"slices": 3, "volume": 1, "keep": "none", "bits": 9}
    command = shlex.split(provenance.again(contents(tmp_path, options=options)).splitlines()[-1])
    context = known.make_context("reconstruct", command[2:], resilient_parsing=True)
    assert context.params["slices"] == 3
    assert context.params["resample"] is True


def test_measured_data_are_not_restored_again_without_noise(tmp_path: Path) -> None:
    measured = contents(tmp_path, pipeline=PIPELINE | {"operator": None})
    assert "noise_std" not in provenance.again(measured)
    assert "noise_std" in provenance.again(contents(tmp_path))


def test_products_are_counted_beside_calls(tmp_path: Path) -> None:
    plan = dataclasses.replace(example_plan(draws=5), stats=("products",))
    path = tmp_path / "a.h5"
    write_plain_with_products(path, plan)
    cost = provenance._cost(read_contents(path))
    assert cost.startswith("9 network calls a slice and 45 vector-Jacobian products")
    assert "without the backward passes" in provenance._cost(contents(tmp_path))


def write_plain_with_products(path: Path, plan: Any) -> None:  # noqa: ANN401
    import numpy as np

    from uqrestore.posterior import PosteriorWriter

    shape = (plan.draws, len(plan.slices), plan.channels, plan.rows, plan.columns)
    images = np.random.default_rng(0).normal(100, 5, shape).astype(np.float32)
    stats = {"products": np.full(shape[:2], 45.0)}
    with PosteriorWriter(path, plan) as writer:
        writer.write(range(plan.draws), plan.slices, images, nfe=9, stats=stats)
        writer.finish(writer.summarise(components=0))


def test_region_means_carry_a_warning_until_they_are_calibrated(tmp_path: Path) -> None:
    plain = write_plain(tmp_path / "plain.posterior.h5")
    page = text(plain, tmp_path / "out")
    assert "Not calibrated" in page
    assert "Do not use these intervals as error bars" in page
    exact = write_example(tmp_path / "exact.posterior.h5", slices=2, draws=5)
    assert "Not calibrated" not in text(exact, tmp_path / "out"), "exact draws are right"
    assert find(plain).regions_warning


def test_noise_is_that_of_the_measurement(tmp_path: Path) -> None:
    findings = find(write_example(tmp_path / "a.posterior.h5", slices=2, draws=5))
    noise = dict(provenance.facts(findings))["noise of the measurement"]
    assert noise == "standard deviation 20 a.u. per real measurement"


@pytest.mark.parametrize("slices", [1, 3])
def test_few_slices_need_no_volume_viewer(tmp_path: Path, slices: int) -> None:
    path = write_example(tmp_path / "a.posterior.h5", slices=slices, draws=5)
    page = write_report(path, tmp_path / "out").page
    assert page.stat().st_size < 1e6
    assert 'id="volume"' not in page.read_text()


def test_control_characters_do_not_reach_the_page(tmp_path: Path) -> None:
    plan = dataclasses.replace(example_plan(draws=5), title="a\x1b[2Jb\u202ec")
    page = write_report(write_plain(tmp_path / "a.h5", plan), tmp_path / "out").page
    assert not {"\x1b", "\u202e"} & set(page.read_text())
    assert display_unit(1.0, "a.u.").factor == 1
