"""Colorization on slices with three contrasts, drawn from label maps."""

import pytest
import torch

from tests.methods.contrasts import fitted_prior, grey, three_contrasts
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.training.labels import LabelSlices


@pytest.fixture(scope="module")
def slices() -> LabelSlices:
    """Two tissues in a ring, of one person."""
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    radius = torch.hypot(y - 24, 1.2 * (x - 22))
    label = torch.where(radius < 12, 1, torch.where(radius < 18, 2, 0)).to(torch.uint8)
    level = torch.tensor([0.0, 0.8, 0.5])
    return LabelSlices(label.expand(3, 48, 48), level, torch.zeros(3), 12, 4)


def test_contrasts_share_their_anatomy_and_differ_in_grey(slices: LabelSlices) -> None:
    images = three_contrasts(slices, 5, 0)
    assert images.shape == (5, 3, 12, 12)
    inside = images > -0.7
    assert (inside[:, 0] == inside[:, 1]).float().mean() > 0.93
    t1, t2, _ = images[:, :, 5:7, 5:7].mean((0, 2, 3))
    assert t1 > t2, "what is bright in one is dark in the other"


@pytest.mark.parametrize(
    ("name", "options", "noise_std"),
    [
        ("ssd", {"preset": "30", "t0": 750, "eta_inversion": 0.8}, 0.0),
        ("ddnm", {"steps": 40}, 0.0),
        ("local_gaussian", {"preset": "100"}, 0.0),
        ("local_gaussian", {"preset": "100"}, 0.05),
    ],
)
def test_colours_explain_the_grey_and_are_those_of_the_posterior(
    slices: LabelSlices, name: str, options: dict[str, object], noise_std: float
) -> None:
    prior = fitted_prior(slices, 150, 30)
    truth = three_contrasts(slices, 2, 9)
    known = grey(truth, noise_std)
    draws = METHODS[name](known, prior, SampleNoise(0, range(24), slices=range(2)), **options)
    exact = prior.posterior(known)
    assert draws.shape == (24, 2, 3, 12, 12)
    if noise_std == 0:
        torch.testing.assert_close(known.operator(draws), known.y.expand(24, *known.y.shape))
    # The colours that the grey leaves open are a tenth of what it tells of the image.
    moved, width = (exact.mean - prior.mean).norm(), exact.std.norm()
    assert width < 0.2 * moved
    assert (draws.mean(0) - exact.mean).norm() < (0.9 if name == "local_gaussian" else 1.3) * width
    ratio = float(draws.var(0).sum() / exact.std.square().sum())
    assert ratio == pytest.approx(1, abs=0.4)
