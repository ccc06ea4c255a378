"""Weights and cards that cannot be used: each says what is wrong and what to do."""

import json
from pathlib import Path

import pytest
import torch

from tests.networks.cases import SHAPE
from uqrestore import zoo
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.networks import InvFussion
from uqrestore.networks.weights import WeightsError, save_json, save_tensors, sha256
from uqrestore.operators import Inpainting
from uqrestore.problem import simulate
from uqrestore.scans import FixedScale, TrainingDomain
from uqrestore.zoo.card import PriorCard

OPTIONS = {"patch": 2, "widths": [16, 16], "depths": [1, 1], "head_width": 8, "cond_width": 8}


def network() -> NetworkDenoiser:
    return NetworkDenoiser(InvFussion(SHAPE, **OPTIONS, attention=("global", "global")))  # type: ignore[arg-type]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A small model as a training leaves it."""
    path = tmp_path / "small.safetensors"
    save_tensors(path, network().state_dict())
    stated = {"name": "invfussion", **OPTIONS, "attention": ["global", "global"]}
    card = {"name": "small", "kind": "network", "schema": 1, "in_shape": SHAPE, "network": stated}
    save_json(path.with_suffix(".json"), {**card, "sigma_data": 0.5, "sha256": sha256(path)})
    return path


def change(weights: Path, **fields: object) -> None:
    card = weights.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | fields))


def test_a_whole_model_is_loaded(weights: Path) -> None:
    assert zoo.load_prior(str(weights)).in_shape == SHAPE


@pytest.mark.parametrize("name", zoo.list_priors())
def test_every_model_that_ships_is_loaded(name: str) -> None:
    assert zoo.load_prior(name).in_shape == zoo.load_card(name).in_shape


def test_a_card_of_a_newer_schema_asks_for_an_upgrade(weights: Path) -> None:
    change(weights, schema=99)
    with pytest.raises(WeightsError, match=r"schema 99, this one reads 1\); upgrade uqrestore"):
        zoo.load_prior(str(weights))


def test_weights_that_are_not_those_of_the_card_are_refused(weights: Path) -> None:
    save_tensors(weights, {k: v + 1 for k, v in network().state_dict().items()})
    with pytest.raises(WeightsError, match="sha256 is not the one of its card"):
        zoo.load_prior(str(weights))


def test_truncated_weights_are_refused_with_or_without_a_checksum(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(WeightsError, match="sha256 is not the one of its card"):
        zoo.load_prior(str(weights))
    change(weights, sha256=None)
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        zoo.load_prior(str(weights))


def test_weights_of_another_network_are_refused(weights: Path) -> None:
    stated = {
        "name": "invfussion",
        **OPTIONS,
        "attention": ["global", "global"],
        "widths": [16, 32],
    }
    change(weights, network=stated)
    with pytest.raises(WeightsError, match="does not fit the network of its card"):
        zoo.load_prior(str(weights))


@pytest.mark.parametrize("name", zoo.list_priors())
def test_a_card_keeps_every_field_of_its_file(name: str) -> None:
    content = json.loads(zoo.locate(name).with_suffix(".json").read_text())
    kept = json.loads(zoo.load_card(name).model_dump_json(by_alias=True, exclude_unset=True))
    assert kept == content


def test_a_card_knows_what_restorations_ask_of_it() -> None:
    crops, ct = zoo.load_card("brain64-crops"), zoo.load_card("ct64-prior")
    assert (crops.pixel_mm, crops.of_windows, crops.range) == (1.5, True, None)
    assert crops.domain == TrainingDomain((1.5, 1.5), "T1w", skull_stripped=True)
    assert ct.range == FixedScale(-1000.0, 1000.0, "HU")
    assert ct.domain.skull_stripped is None
    families = zoo.load_card("brain64-invfussion").operator_families
    assert "cartesian_kspace" in families
    assert crops.operator_families == ()
    assert zoo.load_card("brain64-nppc").training.loss.pure_noise_sigma == 100


def test_an_empty_card_says_nothing() -> None:
    card = PriorCard()
    assert card.domain == TrainingDomain()
    assert (card.pixel_mm, card.of_windows, card.classes) == (None, False, None)


def test_pixels_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="prior flat: its pixels are not square"):
        _ = PriorCard(name="flat", voxel_size=(1.0, 2.0)).pixel_mm


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("voxel_size", -1, "voxel_size"),
        ("windows_of", [128], "windows_of.1"),
        ("range", {"low": 0}, "range.high"),
        ("classes", {"height": 0}, "classes.height"),
        ("training", {"loss": {"pure_noise_sigma": "much"}}, "training.loss.pure_noise_sigma"),
    ],
)
def test_a_field_that_no_card_may_hold_is_named(
    weights: Path, field: str, value: object, named: str
) -> None:
    change(weights, **{field: value})
    with pytest.raises(WeightsError, match=rf"small.json: {named}.*fetch or train it again"):
        zoo.load_prior(str(weights))


@pytest.mark.parametrize("field", ["network", "in_shape", "sigma_data"])
def test_a_card_without_its_network_is_named(weights: Path, field: str) -> None:
    change(weights, **{field: None})
    with pytest.raises(WeightsError, match=f"card of small: it has no '{field}'"):
        zoo.load_prior(str(weights))


def test_a_card_that_is_missing_or_damaged_is_named(weights: Path) -> None:
    card = weights.with_suffix(".json")
    card.write_text("{")
    with pytest.raises(WeightsError, match=r"small.json: not a readable JSON file"):
        zoo.load_prior(str(weights))
    card.unlink()
    with pytest.raises(WeightsError, match=r"small.json: not a readable JSON file"):
        zoo.load_prior(str(weights))


def test_an_operator_of_another_image_shape_is_named() -> None:
    shape = (1, 8, 8)
    problem = simulate(Inpainting(torch.ones(shape)), torch.zeros(shape))
    with pytest.raises(ValueError, match=r"inpainting measures images of shape \(1, 8, 8\)"):
        network()(torch.zeros(2, *SHAPE), torch.tensor(1.0), problem)
