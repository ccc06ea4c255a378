"""Operators with unknown parameters around a measurement, as pipelines build them."""

import pytest
import torch

from uqrestore.operators import CoilFourier, Embedding, Inpainting, MaskedFourier, masks
from uqrestore.operators.in_pipelines import photon_counts, unknown_maps, unknown_motion
from uqrestore.operators.nonlinear import UncertainMotion

SHAPE = (6, 10)


def lines_of(along: int) -> torch.Tensor:
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    if along:
        mask[:, [0, 2, 3, 4, 7, 9]] = True
    else:
        mask[[0, 2, 3, 4], :] = True
    return mask


@pytest.mark.parametrize("along", [0, 1])
def test_lines_are_dealt_to_shots(along: int) -> None:
    fourier = MaskedFourier(lines_of(along), channels=2)
    moved = unknown_motion(fourier, shots=2)
    assert isinstance(moved, UncertainMotion)
    shots = moved.shots if along else moved.shots.mT
    assert (shots == shots[:1]).all()  # a line belongs to one shot
    seen = shots[0][shots[0] >= 0].tolist()
    assert seen == ([0, 1, 0, 1, 0, 1] if along else [0, 1, 0, 1])
    together = unknown_motion(fourier, shots=2, order="sequential")
    assert isinstance(together, UncertainMotion)
    shots = together.shots if along else together.shots.mT
    assert shots[0][shots[0] >= 0].tolist() == ([0, 0, 0, 1, 1, 1] if along else [0, 0, 1, 1])


def test_at_the_centre_of_the_prior_the_measurement_is_the_first_estimate() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, *SHAPE, generator=generator, dtype=torch.complex128)
    coils = CoilFourier(lines_of(1), maps)
    x = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)
    part = coils @ Embedding((2, 4, 5), field_shape=SHAPE, offset=(1, 2))
    for made in (unknown_maps(part), unknown_motion(part, shots=3)):
        assert made.in_shape == (2, 4, 5)
        torch.testing.assert_close(made(x), part(x))


def test_what_has_no_maps_or_lines_is_refused() -> None:
    other = Inpainting(torch.ones(1, *SHAPE, dtype=torch.bool))
    with pytest.raises(ValueError, match="inpainting has no coil maps on a Cartesian grid"):
        unknown_maps(other)
    with pytest.raises(ValueError, match="inpainting does not sample lines of k-space"):
        unknown_motion(other, shots=2)
    few = MaskedFourier(masks.cartesian(SHAPE, 5, 1, torch.Generator().manual_seed(0)), channels=2)
    with pytest.raises(ValueError, match=r"9 shots need as many lines, but . are sampled"):
        unknown_motion(few, shots=9)


def test_counts_behind_water_and_air() -> None:
    scan = photon_counts((1, 9, 7), views=3, photons=1000.0, pixel_mm=2.0)
    air, water = (torch.full((1, 9, 7), hu, dtype=torch.float64) for hu in (-1000.0, 0.0))
    torch.testing.assert_close(scan(air), torch.full_like(scan(air), 1000))
    # Along the columns through the middle: nine pixels of 2 mm at 0.2 / cm.
    middle = scan(water)[0, 0]
    assert float(middle[len(middle) // 2]) == pytest.approx(1000 * 2.718281828 ** (-0.36), rel=1e-3)
