"""Changes of training images that are inputs of the network."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.test_training import SHAPE, VAL, config, source
from uqrestore.training import augmentation
from uqrestore.training.augmentation import augment_conditioned
from uqrestore.training.config import DataConfig, NetworkConfig
from uqrestore.training.data import step_generator
from uqrestore.training.trainer import Trainer


def smooth(count: int = 1, sides: tuple[int, int] = (24, 36)) -> Tensor:
    """Broad bumps off the centre, of different widths along rows and columns."""
    row, column = (torch.linspace(-1, 1, n) * n for n in sides)
    image = torch.exp(-((row[:, None] - 4) ** 2) / 50 - (column[None] + 6) ** 2 / 120)
    return (2 * image - 1).expand(count, 1, *sides).clone()


def moved(images: Tensor, **changes: float) -> Tensor:
    names = ("scale", "turn", "stretch", "frame", "right", "down")
    values = [torch.full((len(images),), changes.get(name, 0.0)) for name in names]
    return augmentation._move(images, *values)


def test_unchanged_images_have_labels_of_zero() -> None:
    images = smooth(40)
    changed, flags = augment_conditioned(images, step_generator(0), share=0.0)
    plain = flags[:, 0] == 0
    assert 10 < plain.sum() < 30, "half are mirrored"
    assert torch.equal(changed[plain], images[plain])
    assert torch.equal(changed[~plain], images[~plain].flip(-1))
    assert (flags[:, 1:] == 0).all()


def test_every_change_is_labelled_at_its_share() -> None:
    _, flags = augment_conditioned(smooth(4000, (4, 4)), step_generator(1), share=0.2)
    share = (flags != 0).float().mean(0)
    wanted = torch.tensor([0.5, 0.1, *[0.2] * 7])
    wanted[6] = 0.1  # the frame of a stretch is turned for half of them
    torch.testing.assert_close(share, wanted, atol=0.03, rtol=0)
    turned = flags[:, 3] != 0
    torch.testing.assert_close(
        (flags[turned, 3] + 1) ** 2 + flags[turned, 4] ** 2, torch.ones(int(turned.sum()))
    )


def test_an_image_can_be_brought_back_by_the_opposite_change() -> None:
    images = smooth()
    for change in ({"scale": 0.8}, {"turn": 0.6}, {"right": 0.5}, {"down": -0.6}, {"stretch": 0.7}):
        there = moved(images, **change)
        assert (there - images).abs().max() > 0.1, change
        back = moved(there, **{name: -value for name, value in change.items()})
        middle = (back - images)[..., 6:-6, 9:-9].abs().max()
        assert middle < 0.06, change


def test_a_shift_is_an_eighth_of_the_side() -> None:
    images = smooth(sides=(24, 40))
    there = moved(images, right=1.0, down=1.0)
    torch.testing.assert_close(there[..., 6:, 8:], images[..., 3:-3, 3:-5], atol=0.02, rtol=0)


def test_a_quarter_turn_keeps_proportions_of_what_is_not_square() -> None:
    images = smooth(sides=(32, 32))
    turned = moved(images, turn=math.pi / 2)
    torch.testing.assert_close(turned, images.rot90(-1, (-2, -1)), atol=0.02, rtol=0)


def test_a_network_takes_labels_and_draws_unchanged_images(tmp_path: Path) -> None:
    network = NetworkConfig.model_validate(
        {**config().network.model_dump(), "augment_labels": True}
    )
    data = DataConfig(shape=SHAPE, augment="edm", augment_share=0.5)
    trainer = Trainer.open(config(network=network, data=data), source(), VAL, tmp_path)
    for _ in range(3):
        trainer.step()
    x, sigma = VAL[:3], torch.tensor(0.5)
    flags = torch.zeros(3, 9)
    plain = trainer.denoiser.with_components(x, sigma)[0]
    assert torch.equal(trainer.denoiser.with_components(x, sigma, augment=flags)[0], plain)
    flags[:, 1] = 1
    assert not torch.equal(trainer.denoiser.with_components(x, sigma, augment=flags)[0], plain)


def test_a_network_without_the_parameters_that_it_takes_is_refused(tmp_path: Path) -> None:
    network = NetworkConfig.model_validate(
        {**config().network.model_dump(), "augment_labels": True}
    )
    with pytest.raises(ValueError, match=r"data.augment is 'none', which gives no parameters"):
        Trainer.open(config(network=network), source(), VAL, tmp_path)
