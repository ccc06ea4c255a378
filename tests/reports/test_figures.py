"""The picture shows what the file holds, from the file alone."""

from pathlib import Path

import numpy as np
import pytest

from uqrestore.posterior import PosteriorWriter
from uqrestore.posterior.example import example_plan
from uqrestore.reports import summary_figure as figures
from uqrestore.reports.summary_figure import draw_summary


def write_example(path: Path, *, components: int = 2) -> Path:
    plan = example_plan(draws=5)
    shape = (5, len(plan.slices), 1, plan.rows, plan.columns)
    images = np.random.default_rng(0).normal(100, 5, shape).astype(np.float32)
    with PosteriorWriter(path, plan) as writer:
        writer.write(range(5), plan.slices, images)
        return writer.finish(writer.summarise(components=components))


def read(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return imread(path)


def test_the_picture_needs_the_file_alone(tmp_path: Path) -> None:
    one = draw_summary(write_example(tmp_path / "a.h5"), tmp_path / "a.png")
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "a.h5").rename(tmp_path / "elsewhere" / "b.h5")

    other = draw_summary(moved, tmp_path / "b.png")

    np.testing.assert_array_equal(read(one), read(other))
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["a.png", "b.png"]


@pytest.mark.parametrize("components", [0, 1])
def test_what_a_file_lacks_is_left_out(tmp_path: Path, components: int) -> None:
    path = write_example(tmp_path / "a.h5", components=components)

    picture = read(draw_summary(path, tmp_path / "a.png"))

    full = read(draw_summary(write_example(tmp_path / "full.h5"), tmp_path / "full.png"))
    shown = (2 + components) / 4  # mean and std, and the components
    assert picture.shape[1] / full.shape[1] == pytest.approx(shown, rel=0.1)


def test_a_picture_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_example(tmp_path / "a.h5")
    monkeypatch.setattr(figures, "PANEL", float("nan"))

    with pytest.raises(ValueError):  # noqa: PT011 - matplotlib's own words
        draw_summary(path, tmp_path / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
