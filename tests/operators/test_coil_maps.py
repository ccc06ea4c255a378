"""Coil sensitivities: the truth of a simulation, and sigpy, which implements the same paper."""

import warnings

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from tests.operators.test_coil_fourier import smooth_maps
from tests.operators.test_radon import phantom
from uqrestore.operators import CoilFourier
from uqrestore.operators.coil_maps import espirit_maps


def scan(coils: int, size: int, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return k-space of a phantom, the true maps, and where the phantom is."""
    body, maps = phantom(size), smooth_maps(coils, size, size)
    phase = 2 * torch.linspace(0, 1, size, dtype=torch.float64)
    x = torch.stack([body * phase.cos(), body * phase.sin()])
    full = torch.ones(size, size, dtype=torch.bool)
    y = CoilFourier(full, maps)(x)
    y = y + noise * torch.randn(y.shape, generator=Generator().manual_seed(0), dtype=y.dtype)
    return torch.complex(y[0], y[1]), maps, body > 0.1


def relative_to_first(maps: Tensor) -> Tensor:
    return maps * maps[:1].conj() / maps[:1].abs().clamp(min=1e-12)


@pytest.mark.parametrize("size", [48, 63])
def test_maps_of_a_simulation_are_found(size: int) -> None:
    kspace, true, body = scan(6, size, noise=1e-4)
    maps = espirit_maps(kspace, center=20)
    error = (maps - relative_to_first(true))[:, body].norm() / true[:, body].norm()
    assert error < 0.02
    assert (maps[:, body].abs().square().sum(0) - 1).abs().max() < 1e-6


def test_voxels_outside_the_body_are_cropped() -> None:
    kspace, _, body = scan(6, 48, noise=1e-3)
    seen = espirit_maps(kspace, center=20).abs().sum(0) > 0
    assert seen[body].all()
    assert not seen[:3, :3].any()


def test_maps_are_those_of_sigpy() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sigpy.mri.app import EspiritCalib
    kspace, _, body = scan(5, 40, noise=1e-3)
    want = EspiritCalib(
        kspace.numpy().astype(np.complex128), calib_width=20, kernel_width=5, show_pbar=False
    ).run()
    got = espirit_maps(kspace, center=20, kernel=5)
    theirs = torch.from_numpy(np.asarray(want))
    torch.testing.assert_close(got[:, body], theirs[:, body], rtol=0, atol=1e-6)
    assert ((got.abs().sum(0) > 0) == (theirs.abs().sum(0) > 0)).double().mean() > 0.99


def test_an_undersampled_centre_is_refused() -> None:
    kspace, _, _ = scan(2, 32, noise=0.0)
    kspace[:, 16] = 0
    with pytest.raises(ValueError, match="espirit_maps: 24 of the 24 x 24 samples"):
        espirit_maps(kspace)
    with pytest.raises(ValueError, match="it is 5"):
        espirit_maps(kspace, center=5)
