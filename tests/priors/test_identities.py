"""All identities of the closed forms hold, on five seeds, and float32 is near enough."""

import pytest

from tests.priors.identities import (
    IDENTITIES,
    SEEDS,
    case,
    heun_ends_on_the_posterior,
    single_precision,
)


def test_there_are_twenty_eight() -> None:
    assert len(IDENTITIES) == 28


@pytest.mark.parametrize("name", IDENTITIES)
def test_the_identity_holds_on_five_seeds(name: str) -> None:
    for seed in SEEDS:
        error, allowed = IDENTITIES[name](case(seed))
        assert error <= allowed, f"seed {seed}"


@pytest.mark.parametrize("seed", SEEDS)
def test_float32_is_off_by_less_than_a_ten_thousandth(seed: int) -> None:
    assert max(single_precision(case(seed)).values()) < 1e-4


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_a_sampler_with_the_ideal_conditional_denoiser_ends_on_the_posterior(seed: int) -> None:
    error, allowed = heun_ends_on_the_posterior(case(seed))
    assert error <= allowed
