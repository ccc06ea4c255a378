"""Draws of a volume are coherent along the axis, and each slice keeps its own distribution."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.front import read, tiny_pipeline, tiny_prior, tiny_scan, use_prior
from uqrestore.methods import METHODS
from uqrestore.noise import Coherence, CoherentNoise, SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.priors import GaussianPrior
from uqrestore.problem import Problem, simulate
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore

LENGTH, SLICES = 1.5, (3, 4, 5, 6, 8)
LIKE = torch.zeros((), dtype=torch.float64)


def wanted_correlation() -> torch.Tensor:
    place = torch.tensor(SLICES, dtype=torch.float64)
    return torch.exp(-((place[:, None] - place) ** 2) / (2 * LENGTH**2))


def test_a_slice_sees_white_noise_and_two_slices_the_correlation_asked_for() -> None:
    noise = CoherentNoise(0, range(60), coherence=Coherence(LENGTH), slices=SLICES)
    fields = torch.cat([noise.normal((200,), LIKE) for _ in range(2)], dim=-1)

    flat = fields.movedim(1, 0).flatten(1)
    found = flat @ flat.mT / flat.shape[1]
    torch.testing.assert_close(found, wanted_correlation(), atol=0.03, rtol=0)
    again = fields[:, 0, 1:] * fields[:, 0, :-1]
    assert abs(float(again.mean())) < 0.02, "white within a slice"


def test_what_is_each_slice_s_own_leaves_the_share_asked_for() -> None:
    coherence = Coherence(LENGTH, 0.7)
    noise = CoherentNoise(0, range(60), coherence=coherence, slices=SLICES)
    flat = noise.normal((400,), LIKE).movedim(1, 0).flatten(1)

    wanted = 0.7 * wanted_correlation() + 0.3 * torch.eye(len(SLICES), dtype=torch.float64)
    torch.testing.assert_close(flat @ flat.mT / flat.shape[1], wanted, atol=0.03, rtol=0)
    assert coherence.correlation(2.0) == pytest.approx(float(wanted[0, 2]))
    single = CoherentNoise(0, [7], coherence=coherence, slices=[SLICES[1]])
    assert torch.equal(single.normal((400,), LIKE).flatten(), flat[1, 2800:3200])
    with pytest.raises(ValueError, match="above 0, up to 1"):
        Coherence(1.0, 0.0)


def test_the_field_of_a_volume_does_not_depend_on_what_is_asked_of_it() -> None:
    whole = CoherentNoise(1, range(3), coherence=Coherence(LENGTH), scan=7, slices=SLICES)
    part = CoherentNoise(1, [2], coherence=Coherence(LENGTH), scan=7, slices=[5])
    first = [whole.normal((4,), LIKE), whole.normal((4,), LIKE)]
    second = [part.normal((4,), LIKE), part.normal((4,), LIKE)]

    for one, other in zip(first, second, strict=True):
        assert torch.equal(one[2, 2], other[0, 0])
    assert not torch.equal(first[0][0], first[0][1])
    with pytest.raises(ValueError, match="must be above 0"):
        CoherentNoise(0, [0], coherence=Coherence(), slices=[0])


def test_sums_over_a_region_of_the_volume_spread_as_a_gaussian_volume_says() -> None:
    """In-plane covariance x axial correlation, the same pixels missing in every slice.

    Then the posterior covariance of the volume is that of a slice x the axial correlation, and
    draws slice by slice with coherent noise are exact; single slices miss what adds up.
    """
    rows, columns = 6, 5
    y, x = np.mgrid[:rows, :columns].reshape(2, -1).astype(float)
    squared = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    covariance = torch.as_tensor(np.exp(-squared / 8) + 0.05 * np.eye(rows * columns))
    prior = GaussianPrior.from_covariance(torch.zeros(1, rows, columns), covariance)
    seen = torch.rand(1, rows, columns, generator=torch.Generator().manual_seed(0)) < 0.4
    truth = torch.zeros(len(SLICES), 1, rows, columns, dtype=torch.float64)
    problem = simulate(Inpainting(seen), truth)
    assert isinstance(problem, Problem)

    known = seen.flatten()
    inner = torch.linalg.solve(covariance[known][:, known], covariance[known][:, ~known])
    in_plane = covariance[~known][:, ~known] - covariance[~known][:, known] @ inner
    oracle = float((in_plane.sum() * wanted_correlation().sum()).sqrt())

    draws = range(300)
    spreads = []
    for noise in (
        CoherentNoise(2, draws, coherence=Coherence(LENGTH), slices=SLICES),
        SampleNoise(2, draws, slices=SLICES),
    ):
        images = METHODS["exact"](problem, prior, noise)
        spreads.append(float(images.flatten(1).sum(1).std()))

    assert spreads[0] == pytest.approx(oracle, rel=0.12)
    assert spreads[1] < 0.7 * oracle


def test_a_coherent_run_is_the_same_however_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_prior(monkeypatch, tiny_prior())
    pipeline = tiny_pipeline(tmp_path, axial_mm=6.0)
    apart = tiny_pipeline(tmp_path)

    one = restore(pipeline, tiny_scan(), tmp_path / "a.h5", RunOptions(batch_size=64))
    other = restore(pipeline, tiny_scan(), tmp_path / "b.h5", RunOptions(batch_size=3))
    single = restore(apart, tiny_scan(), tmp_path / "c.h5")

    images = [read(path, "posterior/image")[0] for path in (one, other, single)]
    assert np.abs(images[0] - images[1]).max() < 1e-5 * np.ptp(images[0])

    def agreement(draws: np.ndarray) -> float:
        """Correlation of what neighbouring slices add to their means."""
        parts = (draws - draws.mean(0)).reshape(*draws.shape[:2], -1)
        return float(np.corrcoef(parts[:, :-1].ravel(), parts[:, 1:].ravel())[0, 1])

    assert agreement(images[0]) > agreement(images[2]) + 0.3
