"""What a posterior file holds of unknown parameters."""

import numpy as np
import pytest
import torch

from uqrestore.noise import Gaussian, UncertainGaussian
from uqrestore.operators import CoilFourier, MaskedFourier
from uqrestore.operators.in_pipelines import unknown_maps, unknown_motion
from uqrestore.operators.nonlinear import UncertainOperator
from uqrestore.posterior.parameters import prior_draws, unknown_parameters

MASK = torch.ones(40, 36, dtype=torch.bool)


def maps() -> UncertainOperator:
    generator = torch.Generator().manual_seed(0)
    return unknown_maps(
        CoilFourier(MASK, torch.randn(2, 40, 36, generator=generator, dtype=torch.complex64))
    )


def test_maps_are_kept_in_their_coordinates_alone() -> None:
    operator = maps()
    (theta,) = unknown_parameters(operator, Gaussian(0.1), "a.u.")
    assert theta.name == "theta"
    assert theta.shape == (operator.count,)
    assert theta.centre == pytest.approx(np.zeros(operator.count), abs=0.1)
    assert theta.std == pytest.approx(np.ones(operator.count), abs=0.1)


def test_motion_has_a_shift_and_a_turn_for_every_shot_but_the_first() -> None:
    operator = unknown_motion(MaskedFourier(MASK, channels=2), shots=4, turn_std=3.0)
    found = {p.name: p for p in unknown_parameters(operator, UncertainGaussian(0.2, 9.0), "mT")}
    assert {name: p.shape for name, p in found.items()} == {
        "shift": (3, 2),
        "turn": (3,),
        "theta": (9,),
        "noise_std": (),
    }
    assert found["turn"].std == pytest.approx(np.full(3, 3.0), rel=0.1)
    assert found["shift"].dims == ("shift_0", "shift_1")
    assert {name: p.unit for name, p in found.items()} == {
        "shift": "pixel",
        "turn": "degree",
        "theta": "1",
        "noise_std": "mT",
    }
    draws = prior_draws(operator, UncertainGaussian(0.2, 9.0))
    # Variance of scaled inverse chi-squared: s^2 nu / (nu - 2).
    assert np.square(draws["noise_std"]).mean() == pytest.approx(0.04 * 9 / 7, rel=0.1)
