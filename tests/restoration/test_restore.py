"""One scan in, one file out: the same numbers however the work is cut up."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.front import (
    COLUMNS,
    ROWS,
    SHAPE,
    read,
    tiny_pipeline,
    tiny_prior,
    tiny_scan,
    use_prior,
)
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.preconditioning import Preconditioning
from uqrestore.networks import HDiT
from uqrestore.noise import SampleNoise
from uqrestore.operators import MaskedFourier
from uqrestore.pipeline import RestorePipeline, change
from uqrestore.posterior import PosteriorError, open_posterior, read_operator, validate
from uqrestore.posterior.acquisition import MEASUREMENT_STREAM, acquire
from uqrestore.problem import simulate
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import Progress, restore
from uqrestore.scans import Intensity


@pytest.fixture(autouse=True, scope="module")
def _tiny_zoo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_prior(monkeypatch, tiny_prior())
        yield


@pytest.fixture
def pipeline(tmp_path: Path) -> RestorePipeline:
    return tiny_pipeline(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny scan restored in one piece, 12 images at a time."""
    folder = tmp_path_factory.mktemp("whole")
    return restore(
        tiny_pipeline(folder), tiny_scan(), folder / "whole.h5", RunOptions(batch_size=12)
    )


def images_of(path: Path) -> np.ndarray:
    return read(path, "posterior/image")


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C of our own."""


def stop_after(batches: int) -> Callable[[Progress], None]:
    seen: list[Progress] = []

    def progress(now: Progress) -> None:
        seen.append(now)
        if len(seen) == batches + 1:  # the first call comes before the first batch
            raise Interrupted

    return progress


def network() -> NetworkDenoiser:
    """Return a small network whose output is not the zero of its initial weights."""
    image = (1, 20, 16)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        net = HDiT(image, patch=2, widths=[16, 32], depths=[1, 1], head_width=8, cond_width=16)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
    return NetworkDenoiser(net, Preconditioning(0.5))


def test_the_file_is_sound_and_says_what_was_done(whole: Path) -> None:
    assert validate(whole) == []
    assert [path.name for path in whole.parent.glob("whole*")] == ["whole.h5"]
    with open_posterior(whole) as tree:
        assert tree["posterior/image"].shape == (1, 6, 5, *SHAPE[1:])
        assert tree["estimate/pc"].sizes["component"] == 2
        assert set(tree["reference"].data_vars) == {"truth", "zero_filled", "linear_mmse"}
        truth = tree["reference/truth"].values
    np.testing.assert_array_equal(truth, tiny_scan().voxels.transpose(2, 1, 0))


def test_every_draw_explains_the_measurement_in_file_units(whole: Path) -> None:
    operator = read_operator(whole)
    draws = torch.as_tensor(read(whole, "posterior/image")[0])[:, :, None]
    y = torch.as_tensor(read(whole, "observed_data/y"))
    misfit = (operator(draws) - y).flatten(2).norm(dim=-1) / y.flatten(1).norm(dim=-1)
    assert misfit.max() < 1e-5
    assert read(whole, "sample_stats/residual").max() < 1e-5


def test_the_figures_are_those_of_the_images(whole: Path) -> None:
    scan = tiny_scan()
    truth = read(whole, "reference/truth")
    with open_posterior(whole) as tree:
        figures = json.loads(tree.attrs["figures"])
    mask = scan.mask.transpose(2, 1, 0)
    images = {"mean": "estimate/mmse", "zero_filled": "reference/zero_filled"}
    for name, variable in images.items():
        error = (read(whole, variable) - truth)[mask].astype(np.float64)
        wanted = 10 * np.log10((2 * scan.intensity.scale) ** 2 / np.mean(error**2))
        assert figures[f"psnr_{name}"] == pytest.approx(wanted, abs=1e-4)
    assert figures["psnr_data_range"] == pytest.approx(2 * scan.intensity.scale)


def largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference as a share of the range of the images."""
    return float(np.abs(a - b).max() / (2 * tiny_scan().intensity.scale))


@pytest.mark.parametrize("batch_size", [1, 8, 1000])
def test_the_batch_size_changes_nothing(
    pipeline: RestorePipeline, whole: Path, tmp_path: Path, batch_size: int
) -> None:
    other = restore(
        pipeline, tiny_scan(), tmp_path / "a.h5", RunOptions(batch_size=batch_size, slices=3)
    )

    rows = list(read(other, "slice"))
    assert largest_difference(images_of(whole)[:, :, rows], images_of(other)) < 1e-5


def test_the_batch_size_changes_nothing_for_a_network(
    pipeline: RestorePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_prior(monkeypatch, network())
    plain = pipeline.model_copy(update={"baseline": None})

    one, other = (
        restore(plain, tiny_scan(), tmp_path / f"{n}.h5", RunOptions(batch_size=n, slices=2))
        for n in (1, 8)
    )

    assert largest_difference(images_of(one), images_of(other)) < 1e-5


@pytest.mark.parametrize(("batch_size", "stop"), [(2, 4), (12, 1)])
def test_an_interrupted_run_resumes_to_the_same_numbers(
    pipeline: RestorePipeline, whole: Path, tmp_path: Path, batch_size: int, stop: int
) -> None:
    scan, out = tiny_scan(), tmp_path / "cut.h5"
    lines: list[str] = []
    seen: list[Progress] = []

    with pytest.raises(Interrupted):
        restore(pipeline, scan, out, RunOptions(batch_size=batch_size), progress=stop_after(stop))
    assert not out.exists()
    assert (tmp_path / "cut.h5.part").exists()
    restore(pipeline, scan, out, notify=lines.append, progress=seen.append)

    assert any("resuming" in line for line in lines)
    assert seen[0].samples_done == batch_size * stop
    assert (seen[-1].slices_done, seen[-1].samples_done, seen[-1].samples) == (5, 30, 30)
    assert not (tmp_path / "cut.h5.part").exists()
    assert largest_difference(images_of(whole), images_of(out)) < 1e-5


def test_the_part_of_another_run_is_not_mixed_in(pipeline: RestorePipeline, tmp_path: Path) -> None:
    scan, out = tiny_scan(), tmp_path / "cut.h5"
    with pytest.raises(Interrupted):
        restore(pipeline, scan, out, RunOptions(slices=4, batch_size=6), progress=stop_after(2))

    with pytest.raises(PosteriorError, match=r"cut\.h5\.part"):
        restore(change(pipeline, seed=7), scan, out, RunOptions(slices=4))
    other = tiny_pipeline(tmp_path, method={"name": "ddnm", "steps": 7})
    with pytest.raises(PosteriorError, match=r"cut\.h5\.part"):
        restore(other, scan, out, RunOptions(slices=4))


def test_an_existing_file_stays_without_overwrite(
    pipeline: RestorePipeline, tmp_path: Path
) -> None:
    out = tmp_path / "a.h5"
    out.write_text("precious")

    with pytest.raises(PosteriorError, match="overwrite"):
        restore(pipeline, tiny_scan(), out)
    with pytest.raises(PosteriorError, match="no posterior file"):
        restore(pipeline, tiny_scan(), out, RunOptions(overwrite=True))
    assert out.read_text() == "precious"
    out.unlink()
    restore(pipeline, tiny_scan(), out)
    restore(pipeline, tiny_scan(), out, RunOptions(overwrite=True))
    assert validate(out) == []


def test_a_slice_is_the_same_whichever_others_are_restored(
    pipeline: RestorePipeline, whole: Path, tmp_path: Path
) -> None:
    one = restore(pipeline, tiny_scan(), tmp_path / "one.h5", RunOptions(slices=[3]))

    assert largest_difference(images_of(whole)[:, :, [3]], images_of(one)) < 1e-5


def test_the_problem_solved_is_that_of_the_network_whatever_the_units() -> None:
    scan = tiny_scan()
    shift, scale = 40.0, 250.0
    images = scan.voxels.transpose(2, 1, 0)[:, None]
    mask = torch.rand(ROWS, COLUMNS, generator=torch.Generator().manual_seed(0)) < 0.4
    operator = MaskedFourier(mask, channels=1)
    problems = []
    for a, b in ((0.0, 1.0), (shift, scale)):
        intensity = Intensity(a + b * scan.intensity.shift, b * scan.intensity.scale)
        acquisition = acquire(
            operator,
            a + b * images,
            noise_std=0.1,
            intensity=intensity,
            slices=(0, 1, 2, 3, 4),
            seed=0,
            scan=1,
        )
        assert acquisition.noise_std == pytest.approx(0.1 * intensity.scale)
        problems.append(acquisition.problem((1, 4)))

    direct = simulate(
        operator,
        scan.intensity.to_network(torch.as_tensor(images[[1, 4]])),
        noise_std=0.1,
        noise=SampleNoise(0, [MEASUREMENT_STREAM], scan=1, slices=[1, 4]),
    )
    for problem in problems:
        assert problem.noise_std == pytest.approx(0.1)
        torch.testing.assert_close(problem.y, direct.y, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("unit", [1.0, 1e-30, 1e30])
def test_the_residual_is_relative_and_in_the_units_of_the_acquisition(unit: float) -> None:
    intensity = Intensity(40.0 * unit, 250.0 * unit)
    images = np.random.default_rng(0).normal(40, 250, (2, *SHAPE)).astype(np.float32)
    images *= np.float32(unit)
    mask = torch.rand(ROWS, COLUMNS, generator=torch.Generator().manual_seed(0)) < 0.4
    acquisition = acquire(
        MaskedFourier(mask, channels=1),
        images,
        noise_std=0.0,
        intensity=intensity,
        slices=(3, 8),
        seed=0,
        scan=1,
    )
    wrong = torch.as_tensor(np.stack([images, 1.02 * images, 0 * images]))

    problem = acquisition.problem((3, 8))
    residual = acquisition.residual(problem, (3, 8), intensity.to_network(wrong))

    wanted = np.asarray([[0, 0], [0.02, 0.02], [1, 1]])
    np.testing.assert_allclose(residual, wanted, atol=1e-5)


def test_slices_that_do_not_exist_are_named(pipeline: RestorePipeline, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"from 0 to 4, got \[9\]"):
        restore(pipeline, tiny_scan(), tmp_path / "a.h5", RunOptions(slices=[1, 9]))


def test_noise_is_simulated_in_the_units_of_the_file(tmp_path: Path) -> None:
    noisy = tiny_pipeline(tmp_path, operator={"name": "identity"}, noise_std=0.1)
    scan = tiny_scan()

    with pytest.raises(ValueError, match="noise-free"):
        restore(noisy, scan, tmp_path / "a.h5")
    assert list(tmp_path.glob("a.h5*")) == [], "a run that drew nothing leaves nothing"


def test_a_sampler_that_diverges_is_a_failure(
    pipeline: RestorePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        in_shape = SHAPE

        def __call__(self, x_t: torch.Tensor, *_: object) -> torch.Tensor:
            return x_t / 0

    use_prior(monkeypatch, Broken())
    plain = pipeline.model_copy(update={"baseline": None})

    with pytest.raises((ArithmeticError, ValueError), match=r"NaN|finite"):
        restore(plain, tiny_scan(), tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()


def test_an_unknown_device_is_the_users_mistake(pipeline: RestorePipeline, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'cuda:99' cannot be used here"):
        restore(pipeline, tiny_scan(), tmp_path / "a.h5", RunOptions(device="cuda:99"))
