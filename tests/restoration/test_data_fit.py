"""The data fit that is printed after a restoration: a number, or a warning."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import uqrestore as uq
from tests.restoration.test_from_kspace import MAPS, MASK, complex_prior, full_scan
from uqrestore.pipeline import RestorePipeline
from uqrestore.pipeline.parts import MethodPart
from uqrestore.posterior import PosteriorFile
from uqrestore.posterior.data_fit import WARNING, chi_squares, fit_grade, fit_line
from uqrestore.reports.data_fit import measure_data_fit
from uqrestore.reports.read import read_contents
from uqrestore.restoration.restore import restore
from uqrestore.scans import RawScan, undersampled

__all__ = ["complex_prior"]  # a fixture


def pipeline(prior: Path) -> RestorePipeline:
    return RestorePipeline(
        kind="restore",
        title="complex",
        prior=str(prior),
        draws=6,
        method=MethodPart(name="exact"),
        components=2,
    )


def scans() -> dict[str, RawScan]:
    raw = undersampled(full_scan(maps=True), MASK)
    conjugated = replace(raw, maps=np.conj(MAPS)[None].astype(np.complex64))
    return {"right": raw, "conjugated maps": conjugated}


def test_the_printed_chi_square_is_that_of_the_report(complex_prior: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    out = restore(pipeline(complex_prior), scans()["right"], tmp_path / "a.h5", notify=lines.append)
    assert [line for line in lines if line.startswith("data fit: chi-square per measurement 1.0")]
    with PosteriorFile(out) as file:
        values = chi_squares(file)
        report = measure_data_fit(read_contents(out), list(range(6)))
    assert values is not None
    assert not isinstance(report, str)
    np.testing.assert_allclose(values.mean(axis=1), report.draws, rtol=1e-4)


def test_draws_that_contradict_the_data_are_a_warning(complex_prior: Path, tmp_path: Path) -> None:
    given, scan = pipeline(complex_prior), scans()["conjugated maps"]
    lines: list[str] = []
    restore(given, scan, tmp_path / "b.h5", notify=lines.append)
    assert lines[-1].startswith(f"{WARNING}: data fit is poor: chi-square per measurement")
    with pytest.warns(UserWarning, match="the draws contradict the measurement"):
        uq.restore(scan, given, out=tmp_path / "c.h5")


@pytest.mark.parametrize(
    ("value", "grade"), [(1.0, "good"), (0.89, "fair"), (1.2, "fair"), (1.5, "poor"), (0.5, "poor")]
)
def test_grades_of_a_chi_square(value: float, grade: str) -> None:
    assert fit_grade(value) == grade


def test_the_worst_slice_is_named_even_if_most_are_good() -> None:
    line = fit_line(np.array([[1.0, 9.0, 1.02]]), np.array([4, 5, 6]))
    assert "in 1 of 3 slices, at worst" in line
    assert "9 in slice 5" in line
    low = fit_line(np.array([[0.2]]), np.array([3]))
    assert "the noise level is probably too high" in low
