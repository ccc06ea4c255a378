"""A prior as a MONAI bundle, by MONAI's own commands."""

import json
from pathlib import Path

import pytest
import torch

import uqrestore as uq
from uqrestore.networks.weights import WeightsError
from uqrestore.zoo.bundle import write_bundle

# Metadata that published bundles have; the schema itself lies on a server.
REQUIRED = {
    "schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version", "name",
    "task", "description", "authors", "copyright", "network_data_format",
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("monai")
    return write_bundle("brain64-prior", tmp_path_factory.mktemp("bundles") / "brain64")


def test_monai_verifies_the_network_against_its_metadata(bundle: Path) -> None:
    from monai.bundle.scripts import verify_net_in_out

    given = {
        "net_id": "network_def",
        "config_file": str(bundle / "configs" / "inference.json"),
        "device": "cpu",
        "extra_forward_args": {"sigma": torch.tensor(1.0)},
        "bundle_root": str(bundle),
    }
    meta = bundle / "configs" / "metadata.json"
    verify_net_in_out(meta_file=str(meta), **given)

    content = json.loads(meta.read_text())
    assert set(content) >= REQUIRED
    content["network_data_format"]["outputs"]["pred"]["num_channels"] = 2
    wrong = bundle / "wrong.json"
    wrong.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="channel number"):
        verify_net_in_out(meta_file=str(wrong), **given)


@pytest.mark.filterwarnings("ignore:parsing config_file")  # which MONAI tells of every bundle
def test_monai_runs_it_to_draws_of_the_prior(bundle: Path, tmp_path: Path) -> None:
    from monai.bundle.scripts import run

    run(
        config_file=str(bundle / "configs" / "inference.json"),
        bundle_root=str(bundle),
        output=str(tmp_path / "draws.pt"),
        count=2,
        steps=6,
        device="cpu",
    )
    draws = torch.load(tmp_path / "draws.pt", weights_only=True)  # noqa: TID251 - tensors alone
    prior = uq.load_prior("brain64-prior")
    noise = uq.SampleNoise(0, range(2)).normal((1, 64, 64), torch.empty(0))
    expected = uq.diffusion.sample_heun(prior, noise, uq.diffusion.karras_sigmas(6))
    torch.testing.assert_close(draws, expected)


def test_a_prior_that_is_no_network_is_refused(tmp_path: Path) -> None:
    for name in ("brain64-gaussian", "brain64-invfussion"):
        with pytest.raises(WeightsError, match="only an unconditional network"):
            write_bundle(name, tmp_path / name)
    assert not list(tmp_path.iterdir())
