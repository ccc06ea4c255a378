"""Measurements that a conditional network was trained on, and those it was not."""

from collections.abc import Callable

import pytest
import torch

from uqrestore.operators import (
    CoilFourier,
    Downsampling,
    Inpainting,
    LinearOperator,
    MaskedFourier,
    Matrix,
    Zero,
)
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.restoration.trained_operators import operator_findings
from uqrestore.scans import Intensity
from uqrestore.zoo import load_card
from uqrestore.zoo.card import PriorCard

SIDE = 64
SHAPE = (1, SIDE, SIDE)
FEW = {"random_matrix": {"share": 1, "rows": [32, 128]}, "cartesian_kspace": {"share": 1}}


def lines(every: int) -> torch.Tensor:
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[:, ::every] = True
    return mask


def points() -> torch.Tensor:
    return torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < 0.25


def matrix(rows: int) -> LinearOperator:
    return Matrix(torch.randn(rows, SIDE * SIDE, generator=torch.Generator().manual_seed(0)), SHAPE)


def card(**problem: object) -> PriorCard:
    content = {"families": FEW, "noise_std": [0.0, 0.1], **problem}
    return PriorCard.model_validate({"in_shape": SHAPE, "training": {"problem": content}})


def acquired(operator: LinearOperator, noise: float = 0.0) -> Acquisition:
    y = torch.zeros(1, *operator.out_shape)
    return Acquisition(operator, y, 250 * noise, Intensity(0.0, 250.0), (0,))


OPERATORS: dict[str, tuple[Callable[[], LinearOperator], str]] = {
    "lines": (lambda: MaskedFourier(lines(4), channels=1), ""),
    "few rows": (lambda: matrix(100), ""),
    "points": (lambda: MaskedFourier(points(), channels=1), "whole lines (cartesian_kspace)"),
    "too few lines": (lambda: MaskedFourier(lines(32), channels=1), "holds 3.1 % of the image"),
    "all lines": (lambda: MaskedFourier(lines(1), channels=1), "holds 1e+02 % of the image"),
    "many rows": (lambda: matrix(500), "holds 12 % of the image"),
    "voxels": (lambda: Inpainting(points().expand(SHAPE)), "not on inpainting"),
    "downsampling": (lambda: Downsampling(SHAPE, 2), "not on downsampling"),
    "nothing": (lambda: Zero(SHAPE), "not on zero"),
    "coils": (
        lambda: CoilFourier(
            mask=lines(4), maps=torch.ones(2, SIDE, SIDE, dtype=torch.complex64) / 2**0.5,
            phase=torch.zeros(SIDE, SIDE),
        ),
        "not on coil_fourier; a zero-shot method with an unconditional prior takes any",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_a_measurement_of_another_family_is_found(name: str) -> None:
    make, words = OPERATORS[name]
    findings = operator_findings(card(), acquired(make()))
    assert len(findings) == bool(words)
    assert words in "".join(findings)


def test_noise_beyond_the_training_is_found() -> None:
    operator = MaskedFourier(lines(4), channels=1)
    for noise, wanted in ((0.0, 0), (0.1, 0), (0.2, 1)):
        assert len(operator_findings(card(), acquired(operator, noise))) == wanted
    [finding] = operator_findings(card(noise_std=[0.05, 0.1]), acquired(operator, 0.01))
    assert finding == (
        "the measurement has noise of 0.01 in network units, the prior was trained on 0.05 to 0.1"
    )


def test_a_network_that_gets_no_measurement_must_know_having_none() -> None:
    anything = acquired(Downsampling(SHAPE, 2))
    [finding] = operator_findings(card(), anything, conditioned=False)
    assert "never trained without a measurement" in finding
    both = card(families=FEW | {"nothing": {"share": 0.1}})
    assert operator_findings(both, anything, conditioned=False) == ()


def test_a_prior_that_was_trained_without_measurements_takes_any() -> None:
    anything = acquired(Downsampling(SHAPE, 2), 0.5)
    assert operator_findings(PriorCard.model_validate({}), anything) == ()
    assert operator_findings(load_card("brain64-prior"), anything) == ()


def test_a_family_that_this_version_does_not_know_is_not_the_measurement() -> None:
    unknown = card(families={"of_tomorrow": {"share": 1}})
    [finding] = operator_findings(unknown, acquired(matrix(50)), role="predictor")
    assert finding.startswith("the predictor was trained on of_tomorrow, not on matrix")
