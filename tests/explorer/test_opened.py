"""An opened file: what it says of itself, and numbers against numpy."""

from pathlib import Path

import numpy as np
import pytest

import uqrestore
from tests.posterior.runs import finished, two_channels
from tests.reports.cases import HOSTILE, hostile_plan, write_partial, write_plain
from uqrestore.explorer import OpenPosterior
from uqrestore.posterior import PosteriorError
from uqrestore.posterior.view import images_of
from uqrestore.reports.example import write_example


@pytest.fixture(scope="module")
def posterior(tmp_path_factory: pytest.TempPathFactory) -> OpenPosterior:
    return uqrestore.open(write_example(tmp_path_factory.mktemp("open") / "field.posterior.h5"))


def test_opening_loads_nothing(posterior: OpenPosterior) -> None:
    fresh = uqrestore.open(posterior.path)
    repr(fresh)
    assert not fresh.tree["posterior/image"].variable._in_memory


def test_the_repr_shows_small_pictures(posterior: OpenPosterior) -> None:
    page = posterior._repr_html_()
    assert page.count("data:image/png;base64,") == 3
    assert "research use only" in page
    assert len(page) < 60_000


def test_samples_are_plain_xarray(posterior: OpenPosterior) -> None:
    assert posterior.samples.dims == ("sample", "z", "y", "x")
    np.testing.assert_allclose(posterior.samples.mean("sample"), posterior.mean, atol=1e-3)
    assert float(posterior.mean.sel(x=0, y=0, z=0, method="nearest")) == posterior.mean[0, 9, 10]


def test_combining_moves_along_the_components(posterior: OpenPosterior) -> None:
    moved = posterior.combine([0, 2], z=1)
    along = posterior.components[1, 1].values * float(posterior.component_std[1, 1])
    np.testing.assert_allclose(moved, posterior.mean[1].values + 2 * along, rtol=1e-6)
    np.testing.assert_array_equal(posterior.combine({2: 2}, z=1), moved)
    assert posterior.nearest_draw({2: 2.0}, z=1) == posterior.nearest_draw([0, 2], z=1)
    for wrong in ([0, 0, 0, 1], {4: 1.0}, {0: 1.0}):
        with pytest.raises(ValueError, match=r"has components 1 to 3 but alpha names [04]; give"):
            posterior.combine(wrong, z=0)


def test_a_region_is_the_mean_of_its_pixels(posterior: OpenPosterior) -> None:
    mask = np.zeros(posterior.mean.shape[1:], bool)
    mask[3:6, 4:9] = True
    draws = posterior.region(mask, z=2)
    np.testing.assert_allclose(draws, posterior.samples[:, 2, 3:6, 4:9].mean(("y", "x")), rtol=1e-5)
    low, high = posterior.interval(draws)
    assert draws.min() <= low < high <= draws.max()
    assert posterior.interval(draws.values) == (low, high)
    np.testing.assert_array_equal(posterior.region(2 * mask, z=2), draws)
    with pytest.raises(ValueError, match=r"both excluded, got 90; 90 % is written 0.9"):
        posterior.interval(draws, 90)
    with pytest.raises(ValueError, match="at least one"):
        posterior.region(np.zeros_like(mask), z=2)


def test_correlation_is_that_of_the_draws(posterior: OpenPosterior) -> None:
    draws = posterior.samples.isel(z=1).values.astype(float)
    wanted = np.corrcoef(draws[:, 4, 7], draws[:, 9, 2])[0, 1]
    found = posterior.correlation(1, 4, 7)
    assert found[9, 2] == pytest.approx(wanted)
    assert found[4, 7] == pytest.approx(1)


def test_the_nearest_draw_to_a_draw_is_itself(posterior: OpenPosterior) -> None:
    assert posterior.nearest_draw(posterior.scores(3)[5].tolist(), z=3) == 5


def test_scores_of_complex_images_are_those_of_both_parts(tmp_path: Path) -> None:
    posterior = uqrestore.open(finished(tmp_path / "a.h5", two_channels()))
    drawn = images_of(posterior["posterior/image"].isel(chain=0))[:, 1]
    mean = images_of(posterior.variable("mmse"))[1]
    pc = images_of(posterior.variable("pc").transpose("component", ...))[:, 1]
    std = posterior.component_std.values[:, 1]
    expected = np.einsum("kcyx,scyx->sk", pc, drawn - mean) / std
    np.testing.assert_allclose(posterior.scores(1), expected, rtol=1e-3, atol=1e-3)


def test_matplotlib_needs_no_widget(posterior: OpenPosterior) -> None:
    figure = posterior.plot()
    assert [axes.get_title() for axes in figure.axes[:3]] == [
        "mean",
        "standard deviation",
        "component 1, one std",
    ]


def test_an_unfinished_file_says_what_it_lacks(tmp_path: Path) -> None:
    partial = uqrestore.open(write_partial(tmp_path / "a.h5"))
    assert "partial" in repr(partial)
    assert "mean of draws so far" in partial._repr_html_()
    assert int(np.isfinite(partial.samples[:, 0, 0, 0]).sum()) == 3
    with pytest.raises(PosteriorError, match="is not finished"):
        _ = partial.mean


def test_a_file_without_components_says_so(tmp_path: Path) -> None:
    plain = uqrestore.open(write_plain(tmp_path / "a.h5"))
    assert plain.component_count == 0
    assert plain._repr_html_().count("<img") == 2


def test_hostile_strings_stay_text(tmp_path: Path) -> None:
    page = uqrestore.open(write_plain(tmp_path / "<b>.h5", hostile_plan()))._repr_html_()
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert "<b>.h5" not in page


def test_arviz_reads_the_draws(posterior: OpenPosterior) -> None:
    pytest.importorskip("arviz")
    data = posterior.to_arviz()
    assert data["posterior"]["image"].sizes["draw"] == 16


@pytest.mark.parametrize(("slices", "axial"), [(1, True), (3, True), (5, False)])
def test_few_slices_are_shown_as_slices(slices: int, axial: bool, tmp_path: Path) -> None:
    ipyniivue = pytest.importorskip("ipyniivue")
    path = write_example(tmp_path / "a.posterior.h5", slices=slices)
    viewer = uqrestore.open(path).volumes()
    assert (viewer.opts.slice_type == ipyniivue.SliceType.AXIAL) == axial
    k = viewer.scene.crosshair_pos[2] * slices - 0.5
    assert k == pytest.approx(slices // 2), "the section is one that was restored"


def test_volumes_can_be_asked_for_again_by_a_front_end(posterior: OpenPosterior) -> None:
    pytest.importorskip("ipyniivue")
    viewer = posterior.volumes()
    for volume in viewer.volumes:
        assert len(volume.get_state("path")["path"]["data"]) > 1000
