"""Complex windows: two channels, brightness and phase as drawn, the same from the same seed."""

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from uqrestore.pipeline import TrainPipeline, load_pipeline
from uqrestore.training.complex_windows import (
    BRIGHTNESS,
    EMPTY,
    TRIES,
    complex_source,
    cut_windows,
    load_slices,
    random_contrast,
    random_phase,
    smooth_field,
)
from uqrestore.training.config import DataConfig, NetworkConfig
from uqrestore.training.data import DataError, Drawn
from uqrestore.training.data_config import SliceSet
from uqrestore.training.run import run_training
from uqrestore.training.sources import open_data
from uqrestore.zoo import load_card, load_prior

SIDE = 16


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(rows: int = 40, columns: int = 30) -> torch.Tensor:
    """A slice whose pixels say where they are."""
    return (3 * torch.arange(rows)[:, None] + 2 * torch.arange(columns)).to(torch.uint8)


def write(folder: Path) -> None:
    """Heads of two sizes and a volume."""
    with h5py.File(folder / "heads.h5", "w") as file:
        file["train/head"] = np.stack([ramp().numpy()] * 3)
        file["val/head"] = np.stack([ramp().numpy()] * 2)
    with h5py.File(folder / "large.h5", "w") as file:
        file["train/brain"] = np.full((2, 50, 60), 0.5, np.float32)
    z, y, x = np.mgrid[-1:1:26j, -1:1:30j, -1:1:28j]
    with h5py.File(folder / "volumes.h5", "w") as file:
        file["train/ann/t1"] = ((x**2 + y**2 + z**2 < 0.8) * 900).astype(np.uint16)
        file["train/bob/t1"] = file["train/ann/t1"][()]  # type: ignore[index]


SETS = (
    SliceSet(file="heads.h5", weight=0.5),
    SliceSet(file="large.h5", variables=("brain",), weight=0.25),
    SliceSet(file="volumes.h5", volumes=("ann",), weight=0.25),
)


def test_windows_are_pieces_of_slices_turned_or_mirrored_or_zoomed() -> None:
    windows = cut_windows([ramp()], 300, SIDE, generator())
    assert windows.shape == (300, SIDE, SIDE)
    along = windows.diff(dim=-1).mean((1, 2)).abs() * 255
    plain = [any(torch.isclose(a, torch.tensor(s), atol=1e-3) for s in (2.0, 3.0)) for a in along]
    assert 0.55 < sum(plain) / 300 < 0.8, "one in three is zoomed"
    zoomed = along[~torch.tensor(plain)]
    assert (zoomed > 2 * math.exp(-0.3)).all()
    assert (zoomed < 3 * math.exp(0.3)).all()
    steps = {
        (round(float(w.diff(dim=-2).mean()) * 255), round(float(w.diff(dim=-1).mean()) * 255))
        for w in windows[torch.tensor(plain)]
    }
    turned = {(a, b) for x, y in ((3, 2), (2, 3)) for a in (x, -x) for b in (y, -y)}
    assert steps == turned, "all eight turns and mirrors"


def test_windows_with_something_in_them_are_preferred() -> None:
    slice_ = torch.zeros(100, 100, dtype=torch.uint8)
    slice_[:, :50] = 200
    shown = cut_windows([slice_], 2000, SIDE, generator()).mean((1, 2)) > EMPTY
    empty = 35 / 85  # places of a window that is not zoomed, 1/8 kept at each of four tries
    left = sum((empty * 7 / 8) ** i for i in range(TRIES)) * empty / 8 + (empty * 7 / 8) ** TRIES
    assert float(shown.float().mean()) == pytest.approx(1 - left, abs=0.02)
    assert 1 - left > 0.9 > 1 - empty


def test_contrast_keeps_air_dark_and_brightness_in_its_range() -> None:
    air = random_contrast(torch.zeros(200, SIDE, SIDE), generator())
    assert air.max() < 0.05
    bright = random_contrast(torch.ones(4000, SIDE, SIDE), generator())
    kept = bright[bright.mean((1, 2)) > 0.3].mean((1, 2))
    low, high = BRIGHTNESS
    logs = kept.log()
    assert float(logs.mean()) == pytest.approx((math.log(low) + math.log(high)) / 2, abs=0.08)
    inverted = (bright.mean((1, 2)) < 0.12).float().mean()
    assert 0.2 < float(inverted) < 0.4, "a quarter is inverted, some are folded"


def test_the_phase_is_uniform_smooth_and_of_several_strengths() -> None:
    phase = random_phase(4000, SIDE, generator())
    turned = torch.polar(torch.ones_like(phase), phase)
    assert turned.mean((0, 1, 2)).abs() < 0.03, "no phase is preferred"
    spread = phase.std((1, 2))
    assert float(spread.quantile(0.1)) < 0.4, "some are nearly flat"
    assert float(spread.quantile(0.9)) > 1.2, "some wrap"
    assert phase.diff(dim=-1).abs().mean() < 0.3
    field = smooth_field(4000, SIDE, 8, generator())
    assert float(field.std()) == pytest.approx(0.8, abs=0.2)


def test_a_source_draws_two_channels_of_its_sets_by_weight() -> None:
    dark, bright = (
        torch.full((20, 20), 60, dtype=torch.uint8),
        torch.full((20, 20), 250, dtype=torch.uint8),
    )
    drawn = Drawn.of(
        complex_source([([dark], 3.0), ([bright], 1.0)], SIDE)(400, generator())
    ).images
    assert drawn.shape == (400, 2, SIDE, SIDE)
    magnitude = drawn.square().sum(1).sqrt()
    assert float(magnitude.max()) < 1.1 * 1.05 * math.exp(0.2 * 5)
    for channel in drawn.unbind(1):
        assert float((channel > 0).float().mean()) == pytest.approx(0.5, abs=0.06)
        assert float(channel.square().mean()) == pytest.approx(
            float(magnitude.square().mean()) / 2, rel=0.1
        )
    again = complex_source([([dark], 3.0), ([bright], 1.0)], SIDE)
    assert torch.equal(drawn, Drawn.of(again(400, generator())).images)
    assert not torch.equal(drawn, Drawn.of(again(400, generator(1))).images)


def test_slices_of_all_sets_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    heads, large, volume = (load_slices(tmp_path, one, "train") for one in SETS)
    assert [s.shape for s in heads] == [(40, 30)] * 3
    assert int(large[0][0, 0]) == 127
    assert {tuple(s.shape) for s in volume} == {(30, 28), (26, 28), (26, 30)}
    assert max(int(s.max()) for s in volume) == 255
    assert load_slices(tmp_path, SETS[1], "val") == []
    with pytest.raises(DataError, match=r"none.h5: .* data.complex_windows"):
        load_slices(tmp_path, SliceSet(file="none.h5"), "train")
    with pytest.raises(DataError, match=r"heads.h5: .* data.complex_windows"):
        load_slices(tmp_path, SliceSet(file="heads.h5", variables=("brain",)), "train")


DATA = DataConfig(shape=(2, SIDE, SIDE), augment="none", complex_windows=SETS)


def test_a_run_on_complex_windows_makes_a_prior_and_continues_from_its_weights(
    tmp_path: Path,
) -> None:
    from tests.training.test_training import config

    write(tmp_path)
    opened = open_data(tmp_path, DATA)
    assert opened.val.shape == (256, 2, SIDE, SIDE)
    network = NetworkConfig.model_validate({**config().network.model_dump(), "patch": 4})
    run = config(data=DATA, network=network, samples=16, validate_every=16)
    weights = run_training(run, "windows", "small", tmp_path, tmp_path / "run")
    card = load_card(str(weights))
    assert (card.in_shape, card.voxel_size, card.pixel_mm) == ((2, SIDE, SIDE), None, None)
    assert load_prior(str(weights)).in_shape == (2, SIDE, SIDE)
    longer = run.model_copy(update={"start": str(weights), "seed": 1})
    assert run_training(longer, "windows", "more", tmp_path, tmp_path / "more").is_file()


@pytest.mark.parametrize(
    "changes", [{"shape": (1, 16, 16)}, {"augment": "brain"}, {"files": ("a.h5",)}]
)
def test_what_does_not_go_with_complex_windows_is_named(changes: dict[str, object]) -> None:
    fields = {**DATA.model_dump(), **changes}
    with pytest.raises(ValueError, match=r"complex_windows wants a square shape of two channels"):
        DataConfig.model_validate(fields)


def test_the_recipe_names_the_mixture() -> None:
    recipe = load_pipeline("train-mr-windows", TrainPipeline)
    weights = [one.weight for one in recipe.data.complex_windows]
    assert weights == [0.25, 0.35, 0.12, 0.08, 0.2]
    assert recipe.data.shape == (2, 64, 64)
