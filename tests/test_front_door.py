"""The Python front door: light, complete, typed, and forgiving of a newcomer's first mistakes."""

import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, assert_type

import h5py
import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

import uqrestore as uq
from uqrestore.explorer import OpenPosterior

ROOT = Path(__file__).parents[1]
SHAPE = (12, 10)


def run(code: str) -> str:
    """Run code as a user does: a process of its own, without the type checks of the tests."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the module ---------------------------------------------------------------------------------


def test_import_is_light() -> None:
    code = (
        "import sys, time; start = time.process_time(); import uqrestore; "
        "seconds = time.process_time() - start; "
        "print(seconds, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    seconds, *loaded = min(run(code).split() for _ in range(3))

    assert float(seconds) < 0.15
    assert loaded == ["False", "False"]


def test_every_public_name_is_there_and_none_else() -> None:
    assert sorted(uq.__all__) == sorted(set(uq.__all__))
    for name in uq.__all__:
        assert getattr(uq, name) is not None
    assert dir(uq) == sorted(uq.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'samlpe'"):
        _ = uq.samlpe  # type: ignore[attr-defined]


def test_no_module_carries_the_name_of_a_function() -> None:
    """Importing it would put the module in the place of the function."""
    modules = {module.name for module in pkgutil.iter_modules(uq.__path__)}

    assert not modules & set(uq._DEFINED_IN)
    code = (
        "import uqrestore.restoration.sampling, uqrestore.reports.page, "
        "uqrestore.restoration.restore, uqrestore.training.run, uqrestore as uq; "
        "print([type(getattr(uq, name)).__name__ for name in uq._DEFINED_IN])"
    )
    assert set(re.findall(r"\w+", run(code))) == {"function", "type"}


def test_every_room_is_an_attribute() -> None:
    rooms = {
        module.name
        for module in pkgutil.iter_modules(uq.__path__)
        if module.ispkg and module.name not in {"cli", "_shared"}
    }

    assert rooms <= set(uq.__all__)
    for room in (getattr(uq, name) for name in rooms):
        missing = [name for name in room.__all__ if not hasattr(room, name)]
        assert not missing, f"{room.__name__} has no {missing}"
    assert callable(uq.operators.masks.cartesian)


def test_the_version_is_one() -> None:
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert citation is not None
    assert citation[1] == uq.__version__
    assert project["tool"]["hatch"]["version"]["path"] == "uqrestore/_shared/version.py"
    assert (ROOT / "uqrestore" / "py.typed").exists()


# --- the five lines -----------------------------------------------------------------------------


def test_the_five_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mask = uq.operators.masks.cartesian((64, 64), acceleration=4, center_lines=5, seed=0)
    A = uq.operators.MaskedFourier(mask, channels=1)
    y = uq.simulate(A, torch.full((1, 64, 64), 0.5)).y
    prior = uq.load_prior("brain64-prior")
    draws = assert_type(uq.sample(A, y, prior, method="ddnm", samples=3, seed=0, steps=3), Tensor)
    posterior = assert_type(
        uq.restore(
            uq.scans.demo_scan_path(),
            pipeline="brain-cs4-invfussion",
            out="scan.posterior.h5",
            slices=1,
            draws=5,
        ),
        OpenPosterior,
    )
    written = posterior.report("scan.report.html")

    assert draws.shape == (3, 1, 64, 64)
    torch.testing.assert_close(A(draws), y.expand(3, *y.shape), atol=1e-5, rtol=0)
    assert posterior.samples.shape[:2] == (5, 1)
    assert written.page == Path("scan.report.html")
    assert written.page.exists()
    assert Path("scan.report.json").exists()


# --- sample -------------------------------------------------------------------------------------


def image(dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a smooth image within [-1, 1]."""
    row, column = (torch.linspace(-2, 2, n, dtype=dtype) for n in SHAPE)
    return (1.6 * torch.exp(-(row[:, None] ** 2) - column**2) - 0.8)[None]


def problem(dtype: torch.dtype = torch.float32) -> tuple[uq.operators.LinearOperator, Tensor]:
    mask = uq.operators.masks.cartesian(SHAPE, acceleration=2, center_lines=2, seed=0)
    operator = uq.operators.MaskedFourier(mask, channels=1)
    return operator, operator(image(dtype))


def gaussian() -> uq.priors.LowRankGaussian:
    factors = torch.randn(3, 1, *SHAPE, generator=torch.Generator().manual_seed(1))
    return uq.priors.LowRankGaussian(torch.zeros(1, *SHAPE), factors, 0.1)


def shrink(x: Tensor, sigma: Tensor) -> Tensor:
    """Denoise white images of unit variance: the plain function of a newcomer."""
    return x / (1 + sigma**2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (1,), (3,)])
@pytest.mark.parametrize("library", ["torch", "numpy", "complex"])
@pytest.mark.parametrize("prior", ["closed form", "function"])
def test_sample_takes_every_kind_of_array(
    dtype: torch.dtype, batch: tuple[int, ...], library: str, prior: str
) -> None:
    operator, y = problem(dtype)
    denoiser = gaussian() if prior == "closed form" else shrink
    expected = uq.sample(operator, y, denoiser, samples=2, seed=5, steps=4)
    many = y.expand(*batch, *y.shape)
    given: Tensor | np.ndarray = many
    if library == "numpy":
        given = many.numpy()
    if library == "complex":
        given = torch.complex(many.select(-3, 0), many.select(-3, 1)).numpy()

    draws = uq.sample(operator, given, denoiser, samples=2, seed=5, steps=4)

    assert draws.shape == (2, *batch, 1, *SHAPE)
    assert draws.dtype == dtype
    first = draws[:, 0] if batch else draws
    torch.testing.assert_close(first, expected)
    assert len({row.std().item() for row in draws.flatten(0, -4)}) == 2 * (batch or (1,))[0]


def test_a_network_sets_the_precision() -> None:
    operator = uq.operators.Identity((1, 64, 64))
    y = np.zeros((1, 64, 64)) + 0.1

    draws = uq.sample(operator, y, "brain64-prior", samples=1, steps=2)

    assert draws.dtype == torch.float32
    torch.testing.assert_close(draws[0], torch.full((1, 64, 64), 0.1))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_batch_size_changes_no_draw(size: int) -> None:
    operator, y = problem(torch.float64)
    many = torch.stack([y, 2 * y, 3 * y])
    whole = uq.sample(operator, many, shrink, samples=5, steps=4)
    seen: list[tuple[int, int]] = []

    parts = uq.sample(
        operator,
        many,
        shrink,
        samples=5,
        steps=4,
        batch_size=size,
        progress=lambda done, total: seen.append((done, total)),
    )

    torch.testing.assert_close(parts, whole)
    assert seen[-1] == (15, 15)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_draws_of_the_exact_posterior_have_its_mean() -> None:
    operator, y = problem(torch.float64)
    noisy = uq.Problem(operator, y, 0.1)

    draws = uq.sample(operator, y, gaussian(), "exact", noise_std=0.1, samples=4000)

    posterior = gaussian().posterior(noisy)
    error = (draws.mean(0) - posterior.mean).abs() / (posterior.std / 4000**0.5)
    assert error.max() < 5


def test_a_problem_stands_for_its_measurement() -> None:
    operator, _ = problem()
    made = uq.simulate(operator, image().numpy(), noise_std=0.1, seed=3)

    draws = uq.sample(operator, made, shrink, "ddrm", samples=2, steps=3)

    same = uq.sample(operator, made.y, shrink, "ddrm", noise_std=0.1, samples=2, steps=3)
    torch.testing.assert_close(draws, same)


def test_other_units_are_brought_to_those_of_the_prior() -> None:
    operator, y = problem(torch.float64)
    x = image(torch.float64)
    low, high = -200.0, 1000.0
    measured = operator(low + (x + 1) / 2 * (high - low))

    made = uq.Problem.from_units(operator, measured.numpy(), low, high, noise_std=6.0)

    torch.testing.assert_close(made.y, y)
    assert made.noise_std == pytest.approx(0.01)
    with pytest.raises(ValueError, match="low must be below high"):
        uq.Problem.from_units(operator, measured, high, low)


@pytest.mark.parametrize("scale", [1e-4, 400.0])
def test_a_measurement_in_other_units_is_warned_of(scale: float) -> None:
    operator = uq.operators.Identity((1, 64, 64))
    y = torch.full((1, 64, 64), 0.5)

    with pytest.warns(UserWarning, match=r"the prior makes images in \[-1, 1\]; give image_range"):
        uq.sample(operator, scale * y, "brain64-prior", samples=1, steps=2)
    uq.sample(operator, y, "brain64-prior", samples=1, steps=2)  # a warning would be an error


def test_noise_that_the_inverse_amplifies_is_no_other_unit() -> None:
    weak = uq.operators.Scaled((uq.operators.Identity((1, 64, 64)),), 0.01)
    made = uq.simulate(weak, torch.zeros(1, 64, 64), noise_std=0.1, seed=0)

    uq.sample(weak, made, "brain64-prior", "ddrm", samples=1, steps=2)


# --- posterior files of arrays --------------------------------------------------------------------


def write_array(path: Path, **options: Any) -> Tensor:  # noqa: ANN401
    operator, y = problem()
    return uq.sample(
        operator,
        torch.stack([y, 2 * y, -y]),
        gaussian(),
        samples=6,
        steps=4,
        seed=3,
        out=path,
        **options,
    )


def test_draws_of_an_array_fill_a_posterior_file(tmp_path: Path) -> None:
    path = tmp_path / "x.posterior.h5"
    draws = write_array(path, spacing=(4.0, 1.5, 2.0), unit="HU")

    posterior = uq.open(path)
    assert uq.posterior.inspect(path).faults == ()
    assert posterior.unit == "HU"
    np.testing.assert_array_equal(posterior.samples, draws[:, :, 0])
    torch.testing.assert_close(torch.as_tensor(posterior.mean.values), draws[:, :, 0].mean(0))
    spacing = [float(np.diff(posterior.tree[axis])[0]) for axis in ("z", "y", "x")]
    assert spacing == [4.0, 1.5, 2.0]
    method = posterior.provenance["pipeline"]["method"]
    assert method == {"name": "ddnm", "options": {"steps": 4}}
    assert posterior.provenance["pipeline"]["seed"] == 3
    assert posterior.provenance["prior"]["name"] == "LowRankGaussian"
    assert posterior.tree["sample_stats"]["residual"].max() < 1e-5
    assert posterior.component_count == 3


def test_report_explorer_and_arviz_take_the_file_of_an_array(tmp_path: Path) -> None:
    import xarray

    path = tmp_path / "x.posterior.h5"
    write_array(path, spacing=2.0, unit="HU")

    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        assert tree["posterior"]["image"].sizes["draw"] == 6
    posterior = uq.open(path)
    assert posterior.to_arviz()["posterior"]["image"].sizes["draw"] == 6
    written = posterior.report()
    page = written.page.read_text()
    assert "uqrestore.sample(operator, y, " in page
    assert "uqrestore reconstruct" not in page
    assert written.data["numbers"]["data_fit"] < 1e-5
    assert posterior.plot() is not None
    with pytest.raises(FileExistsError, match="exists already"):
        uq.report(path)
    uq.report(posterior, tmp_path / "again.html", overwrite=True)
    assert (tmp_path / "again.html").exists()


def test_an_array_in_other_units_comes_back_in_them(tmp_path: Path) -> None:
    operator, y = problem(torch.float64)
    low, high = -200.0, 1000.0
    measured = operator(low + (image(torch.float64) + 1) / 2 * (high - low))
    fast: Any = {"samples": 3, "steps": 3}

    draws = uq.sample(
        operator,
        measured,
        gaussian(),
        "ddrm",
        noise_std=6.0,
        image_range=(low, high),
        out=tmp_path / "x.posterior.h5",
        **fast,
    )

    plain = uq.sample(operator, y, gaussian(), "ddrm", noise_std=0.01, **fast)
    torch.testing.assert_close(draws, low + (plain + 1) / 2 * (high - low))
    posterior = uq.open(tmp_path / "x.posterior.h5")
    np.testing.assert_allclose(posterior.samples[:, 0], draws[:, 0], rtol=1e-6, atol=1e-3)
    assert float(posterior["observed_data/noise_std"]) == 6.0
    assert posterior.zero_filled is not None
    made = uq.Problem(operator, y)
    with pytest.raises(ValueError, match="give image_range with y"):
        uq.sample(operator, made, gaussian(), image_range=(low, high))


class StopError(Exception):
    """An interruption."""


def test_an_interrupted_call_is_resumed_to_the_same_draws(tmp_path: Path) -> None:
    whole = write_array(tmp_path / "whole.posterior.h5")
    path, seen = tmp_path / "x.posterior.h5", []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if done > total // 2:
            raise StopError

    with pytest.raises(StopError):
        write_array(path, batch_size=2, progress=stop)
    seen.clear()
    draws = write_array(path, batch_size=6, progress=lambda done, _: seen.append(done))

    torch.testing.assert_close(draws, whole, rtol=0, atol=1e-6)
    assert seen[0] > 6, "what was drawn before is not drawn again"
    with pytest.raises(uq.posterior.PosteriorError, match="exists already"):
        write_array(path)


def test_a_prior_that_cannot_be_compared_is_not_resumed(tmp_path: Path) -> None:
    operator, y = problem()
    path = tmp_path / "x.posterior.h5"

    def stop(done: int, total: int) -> None:  # noqa: ARG001
        raise StopError

    def call(progress: Any = False, **options: Any) -> Tensor:  # noqa: ANN401
        return uq.sample(
            operator, y, shrink, samples=3, steps=3, out=path, progress=progress, **options
        )

    with pytest.raises(StopError):
        call(stop, batch_size=1)
    with pytest.raises(uq.posterior.PosteriorError, match="another run"):
        call()
    assert call(overwrite=True).shape == (3, 1, *SHAPE)
    assert uq.open(path).provenance["prior"]["name"] == "shrink"


def test_what_no_file_can_hold_is_refused_before_drawing(tmp_path: Path) -> None:
    _, y = problem()
    double = uq.operators.from_callable(lambda x: 2 * x, lambda y: 2 * y, (1, 4, 4), (1, 4, 4))
    with pytest.raises(TypeError, match="made of functions, which cannot be written"):
        uq.sample(double, torch.ones(1, 4, 4), shrink, samples=2, out=tmp_path / "x.posterior.h5")
    operator, _ = problem()
    with pytest.raises(ValueError, match="spacing is a pixel size in mm"):
        uq.sample(operator, y, shrink, out=tmp_path / "x.posterior.h5", spacing=-1.0)
    levels = torch.tensor([0.1, 0.2])
    with pytest.raises(ValueError, match="one noise_std for all its slices"):
        uq.sample(
            operator,
            torch.stack([y, y]),
            shrink,
            "ddrm",
            noise_std=levels,
            out=tmp_path / "x.posterior.h5",
        )
    assert list(tmp_path.iterdir()) == []


# --- files --------------------------------------------------------------------------------------


def test_a_trained_prior_is_loaded_and_sampled(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "slices.h5", "w") as file:
        rng = np.random.default_rng(0)
        for split in ("train", "val"):
            file[f"{split}/brain"] = rng.integers(0, 255, (12, 16, 12), dtype=np.uint8)
    network = {"name": "hdit", "widths": [8, 16], "depths": [1, 1], "patch": 2, "head_width": 8}
    fields = {
        "kind": "train",
        "title": "tiny prior",
        "network": network | {"cond_width": 8, "attention": ["neighborhood:3", "global"]},
        "data": {"files": ["slices.h5"], "shape": [1, 16, 12], "voxel_mm": 4.0},
        "batch": 4,
        "samples": 8,
        "validate_every": 8,
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(fields))

    weights = assert_type(uq.train(tmp_path / "small.yaml", tmp_path, tmp_path / "run"), Path)

    operator = uq.operators.Identity((1, 16, 12))
    draws = uq.sample(operator, np.full((1, 16, 12), 0.5), str(weights), samples=2, steps=2)
    torch.testing.assert_close(draws, torch.full((2, 1, 16, 12), 0.5))
    assert uq.load_prior(str(weights)).in_shape == (1, 16, 12)


def test_pipelines_and_scans_are_read_by_name(tmp_path: Path) -> None:
    plan = assert_type(uq.load_pipeline("brain-cs4-ssd"), uq.pipeline.RestorePipeline)
    training = uq.load_pipeline("train-brain-prior", uq.pipeline.TrainPipeline)
    scan = uq.read_scan(uq.scans.demo_scan_path())

    assert plan.prior in uq.list_priors()
    assert assert_type(training, uq.pipeline.TrainPipeline).title
    assert scan.voxels.ndim == 3
    with pytest.raises(uq.pipeline.PipelineError, match="is wanted here"):
        uq.load_pipeline("train-brain-prior")
    with pytest.raises(ValueError, match="for a scan given by its path"):
        uq.restore(scan, out=tmp_path / "x.posterior.h5", mask=tmp_path / "mask.nii.gz")


# --- first mistakes -----------------------------------------------------------------------------

MISTAKES = """
import json, warnings
import numpy as np, torch
import uqrestore as uq

mask = uq.operators.masks.cartesian((64, 64), acceleration=4, center_lines=5, seed=0)
A = uq.operators.MaskedFourier(mask, channels=1)
x = np.zeros((1, 64, 64))
y = A(x)
prior, ddnm = uq.load_prior("brain64-prior"), uq.methods.METHODS["ddnm"]
noise, batch = uq.SampleNoise(0, range(2)), uq.SampleNoise(0, range(2), slices=[0])
problem = uq.Problem(A, y)
results = {}

def attempt(name, call):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results[name] = ["works", list(call().shape)]
    except Exception as error:
        results[name] = [type(error).__name__, str(error)]
"""


def attempts(*lines: str) -> dict[str, list[str]]:
    calls = [f"attempt({line!r}, lambda: {line})" for line in lines]
    return json.loads(run("\n".join([MISTAKES, *calls, "print(json.dumps(results))"])))


def test_the_first_mistakes_work_or_say_what_to_write() -> None:
    fast = "samples=2, steps=2"
    works = {
        "A(x)": [2, 64, 64],
        "A(x.astype('float32'))": [2, 64, 64],
        "A(x[0])": [2, 64, 64],
        "uq.simulate(A, x[0], noise_std=0.1, seed=0).y": [2, 64, 64],
        f"uq.sample(A, y.double(), prior, {fast})": [2, 1, 64, 64],
        f"uq.sample(A, y.numpy()[None], 'brain64-prior', {fast})": [2, 1, 1, 64, 64],
        f"uq.sample(A, y[0].numpy() + 1j * y[1].numpy(), prior, {fast})": [2, 1, 64, 64],
        f"uq.sample(A, y, lambda x, s: x / (1 + s**2), {fast})": [2, 1, 64, 64],
        f"uq.sample(A, uq.simulate(A, x), prior, {fast})": [2, 1, 64, 64],
        "uq.Problem(A, y.numpy()).y": [2, 64, 64],
        "ddnm(uq.Problem(A, y.double()), prior, noise, steps=2)": [2, 1, 64, 64],
        "ddnm(problem, lambda x, s: x / (1 + s**2), noise, steps=2)": [2, 1, 64, 64],
        "ddnm(uq.Problem(A, y[None]), prior, batch, steps=2)": [2, 1, 1, 64, 64],
    }
    says = {
        f"uq.sample(A, y[:1], prior, {fast})": "measures (*problem, 2, 64, 64)",
        f"uq.sample(A, x, prior, {fast})": "measures (*problem, 2, 64, 64)",
        f"uq.sample(A, y, prior, 'ddnmm', {fast})": "Did you mean 'ddnm'?",
        "uq.sample(A, y, prior, step=3)": "Did you mean 'steps'?",
        f"uq.sample(A, y, 'brain64-priro', {fast})": "brain64-prior",
        f"uq.sample(A, y, 7, {fast})": "a denoiser is a function (x_t, sigma) -> clean images",
        f"uq.sample(mask, y, prior, {fast})": "needs an operator of uqrestore.operators",
        f"uq.sample(A, y, prior, noise_std=0.1, {fast})": "choose a method for noisy data",
        "uq.sample(A, y, prior, samples=0)": "samples and batch_size start at 1",
        "uq.simulate(A, x, noise_std=0.1)": "simulate needs a seed=0",
        "uq.Problem(y, A)": "needs an operator of uqrestore.operators",
        "ddnm(y, prior, noise)": "write Problem(operator, y, noise_std)",
        "ddnm(problem, prior, 0)": "write SampleNoise(seed, range(samples)).",
        "ddnm(uq.Problem(A, y[None]), prior, 0)": "range(samples), slices=range(1)).",
        "ddnm(uq.Problem(A, y[None]), prior, noise)": "give SampleNoise one slice index per",
        "ddnm(problem, 'brain64-prior', noise)": "write uqrestore.load_prior('brain64-prior')",
        "A(torch.zeros(3, 64, 64))": "acts on images of shape (*batch, 1, 64, 64)",
    }
    found = attempts(*works, *says)
    for line, shape in works.items():
        assert found[line] == ["works", shape], line
    for line, text in says.items():
        kind, message = found[line]
        assert kind in {"ValueError", "NameFault", "WeightsError"}, (line, kind, message)
        assert text in message, (line, message)
        assert "\n" not in message, line
