"""A pipeline with a predictor: the network's mean and components stand in the file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.front import CARD, SHAPE, read, tiny_pipeline, tiny_prior, tiny_scan, use_prior
from tests.networks.cases import awake
from uqrestore.networks import InvFussion
from uqrestore.networks.weights import save_tensors, sha256
from uqrestore.posterior import open_posterior, validate
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.record import fingerprint
from uqrestore.restoration.restore import restore
from uqrestore.zoo import build_network, load_card, load_prior
from uqrestore.zoo.card import PriorCard

NETWORK = {
    "name": "invfussion",
    "patch": 1,
    "widths": [16],
    "depths": [1],
    "attention": ["neighborhood:3"],
    "joint": [True],
    "fdl_input": "projected",
    "guess": 2,
    "components": 2,
    "head_width": 8,
    "cond_width": 16,
}


def store(path: Path, seed: int = 0, **facts: object) -> str:
    """Keep a small conditional network that is not at rest, and its card."""
    card = {**CARD, "kind": "network", "in_shape": SHAPE, "network": NETWORK, "sigma_data": 0.5}
    denoiser = build_network(PriorCard.model_validate(card))
    awake(denoiser.network, seed)
    save_tensors(path, denoiser.state_dict())
    path.with_suffix(".json").write_text(json.dumps(card | {"sha256": sha256(path)} | facts))
    return str(path)


@pytest.fixture
def predictor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small conditional network in a file, and the tiny prior in the zoo."""
    path = tmp_path / "network.safetensors"
    store(path)
    use_prior(monkeypatch, tiny_prior())
    plain, plain_card = tiny_prior(), PriorCard.model_validate(CARD)
    monkeypatch.setattr(
        "uqrestore.restoration.prior_cache.load_prior",
        lambda name: load_prior(name) if name.endswith("network.safetensors") else plain,
    )
    monkeypatch.setattr(
        "uqrestore.restoration.prior_cache.load_card",
        lambda name: load_card(name) if name.endswith("network.safetensors") else plain_card,
    )
    return str(path)


def test_the_files_mean_and_components_are_the_networks(predictor: str, tmp_path: Path) -> None:
    pipeline = tiny_pipeline(tmp_path, predictor=predictor)
    out = restore(pipeline, tiny_scan(), tmp_path / "a.posterior.h5")
    assert validate(out) == []
    with open_posterior(out) as tree:
        assert tree["estimate"]["mmse"].attrs["mmse_source"] == "network"
        assert tree["estimate"]["pc_std"].attrs["pc_std_source"] == "nppc"
        figures = json.loads(tree.attrs["figures"])
    assert figures["psnr_mmse"] != figures["psnr_mean"]
    draws, mmse, gap = (
        read(out, n) for n in ("posterior/image", "estimate/mmse", "estimate/mean_gap")
    )
    np.testing.assert_allclose(draws.mean((0, 1)) - mmse, gap, atol=1e-3 * np.abs(mmse).max())
    again = restore(pipeline, tiny_scan(), tmp_path / "b.posterior.h5", RunOptions(slices=[2]))
    np.testing.assert_allclose(read(again, "estimate/mmse")[0], mmse[2], rtol=1e-4, atol=1e-3)


def test_components_of_a_frozen_base_come_with_its_mean(predictor: str, tmp_path: Path) -> None:
    frozen = {"training": {"loss": {"components": {"base": "frozen"}}}}
    other = store(tmp_path / "other-network.safetensors", 1, **frozen)
    outs = {}
    for key, fields in {
        "base": {"predictor": predictor},
        "both": {"predictor": other, "predictor_base": predictor},
    }.items():
        out = tmp_path / f"{key}.posterior.h5"
        outs[key] = restore(tiny_pipeline(tmp_path, **fields), tiny_scan(), out)
    mean, both = (read(outs[key], "estimate/mmse") for key in ("base", "both"))
    np.testing.assert_array_equal(mean, both)
    directions, others = (read(outs[key], "estimate/pc") for key in ("base", "both"))
    assert np.abs(directions - others).max() > 0.1
    with open_posterior(outs["both"]) as tree:
        weights = json.loads(tree.attrs["provenance"])["predictor_base"]
    assert weights["name"] == "network.safetensors"
    for fields, message in (
        ({"predictor": other}, "frozen network; name that network by predictor_base"),
        ({"predictor": predictor, "predictor_base": other}, "its own mean; leave predictor_base"),
    ):
        with pytest.raises(ValueError, match=message):
            restore(tiny_pipeline(tmp_path, **fields), tiny_scan(), tmp_path / "x.posterior.h5")


def test_a_prior_that_knows_no_measurement_cannot_predict(predictor: str, tmp_path: Path) -> None:
    assert predictor
    pipeline = tiny_pipeline(tmp_path, predictor="tiny")
    with pytest.raises(ValueError, match="predictor: tiny must be a conditional network"):
        restore(pipeline, tiny_scan(), tmp_path / "a.posterior.h5")


def test_the_network_of_the_test_is_a_conditional_one() -> None:
    card = {"in_shape": SHAPE, "network": NETWORK, "sigma_data": 0.5}
    network = build_network(PriorCard.model_validate(card)).network
    assert isinstance(network, InvFussion)
    assert torch.isfinite(network(torch.zeros(1, *SHAPE), torch.zeros(1))).all()


def test_other_weights_of_the_predictor_are_another_run_and_another_folder_is_not(
    predictor: str, tmp_path: Path
) -> None:
    names = [fingerprint(tiny_pipeline(tmp_path, predictor=predictor), "scan")]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in (Path(predictor), Path(predictor).with_suffix(".json")):
        (elsewhere / file.name).write_bytes(file.read_bytes())
    moved = str(elsewhere / Path(predictor).name)
    names.append(fingerprint(tiny_pipeline(tmp_path, predictor=moved), "scan"))
    card = Path(moved).with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"sha256": "1" * 64}))
    names.append(fingerprint(tiny_pipeline(tmp_path, predictor=moved), "scan"))
    names.append(fingerprint(tiny_pipeline(tmp_path), "scan"))
    assert names[0] == names[1]
    assert len(set(names)) == 3
