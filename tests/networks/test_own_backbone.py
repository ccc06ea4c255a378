"""The backbone of the how-to page passes the tests that the page lists, trains and is loaded."""

import importlib.util
from pathlib import Path

import pytest
import torch

from tests.networks import test_backbones
from tests.networks.cases import SHAPE
from tests.training.test_training import VAL, config, source
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.networks import BACKBONES, Backbone
from uqrestore.training.config import NetworkConfig
from uqrestore.training.export import export
from uqrestore.training.loop import train
from uqrestore.zoo import load_prior

PAGE = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.fixture(scope="module")
def tiny() -> type[Backbone]:
    spec = importlib.util.spec_from_file_location("tiny", PAGE / "tiny.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Tiny


@pytest.mark.parametrize(
    "test",
    [
        test_backbones.test_the_output_starts_at_exactly_zero,
        test_backbones.test_gradient_reaches_every_parameter,
        test_backbones.test_images_of_a_batch_are_independent,
    ],
)
def test_the_backbone_of_the_page_passes(test, tiny: type[Backbone]) -> None:  # noqa: ANN001
    test(tiny(SHAPE).double())  # type: ignore[call-arg]


def test_it_trains_by_its_name_and_is_loaded(
    tiny: type[Backbone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES, "tiny", tiny)  # type: ignore[arg-type]
    network = NetworkConfig.model_validate({"name": "tiny", "width": 8})
    train(config(network=network, samples=16), source(), VAL, tmp_path)
    prior = load_prior(str(export(tmp_path, "tiny", tmp_path, {})))
    assert prior.in_shape == VAL.shape[1:]


def test_the_page_shows_that_file() -> None:
    assert "{literalinclude} tiny.py" in (PAGE / "own-backbone.md").read_text()


class Bare(Backbone):
    """A backbone that forgot its image shape."""

    def forward(self, x, c_noise, label=None, measurement=None, *, augment=None):  # noqa: ANN001, ANN201, ARG002
        return x


def test_a_backbone_without_its_image_shape_is_refused_with_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"Bare cannot .* uqrestore.networks.Backbone and set"):
        NetworkDenoiser(Bare())


def test_an_unconditional_backbone_refuses_a_measurement(tiny: type[Backbone]) -> None:
    from tests.networks.test_unet import inpainting

    denoiser = NetworkDenoiser(tiny((1, 6, 4)))  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="Tiny is a prior, which takes no measurement"):
        denoiser(torch.zeros(3, 1, 6, 4), torch.tensor(1.0), inpainting())
