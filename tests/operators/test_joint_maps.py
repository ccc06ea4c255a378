"""Coil maps estimated from all samples, against a dense solve and against the true maps."""

import torch
from torch import Tensor

from tests.scans.rawfiles import coils
from uqrestore.operators import CoilFourier
from uqrestore.operators._fourier import as_complex
from uqrestore.operators.coil_maps import espirit_maps
from uqrestore.operators.joint_maps import MODES, cosines, mode_std, refine_maps

ROWS, COLUMNS, COILS, STD = 23, 18, 3, 0.02


def scene(rows: int, columns: int, count: int, seed: int = 0) -> dict[str, Tensor]:
    """Return complex k-space of random lines of an image with edges, and all that is behind it."""
    generator = torch.Generator().manual_seed(seed)
    down, across = torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns)
    y, x = torch.meshgrid(down, across, indexing="ij")
    image = ((x / 0.8) ** 2 + (y / 0.9) ** 2 < 1) * (2 + torch.cos(9 * x) * torch.sin(7 * y))
    image = torch.polar(image.double(), (x - 0.5 * y).double())
    maps = torch.from_numpy(coils((rows, columns), count)).to(torch.complex128)
    keep = torch.rand(columns, generator=generator) < 0.5
    keep[columns // 2 - 4 : columns // 2 + 4] = True
    mask = keep.expand(rows, columns).clone()
    operator = CoilFourier(mask=mask, maps=maps)
    noise = torch.randn(operator.out_shape, generator=generator, dtype=torch.float64) * mask
    pairs = operator(torch.view_as_real(image).movedim(-1, 0)) + STD * noise
    kspace = as_complex(pairs.movedim(0, -3))
    return {"kspace": kspace, "mask": mask, "maps": maps, "image": image}


def test_maps_are_the_mean_under_a_smooth_prior_by_a_dense_solve() -> None:
    case = scene(ROWS, COLUMNS, COILS)
    start = case["maps"] * (1 + 0.1j)
    found = refine_maps(
        case["kspace"], case["mask"], start, case["image"], torch.tensor(STD, dtype=torch.float64)
    )
    basis = torch.einsum("ri,cj->rcij", cosines(ROWS).double(), cosines(COLUMNS).double())
    basis = basis * mode_std().double() * (ROWS * COLUMNS) ** 0.5
    seen = basis.flatten(2).movedim(-1, 0) * case["image"]
    operator = CoilFourier(mask=case["mask"], maps=torch.ones_like(case["maps"][:1]))

    def measured(image: Tensor) -> Tensor:
        y = operator(torch.view_as_real(image).movedim(-1, -3))
        return as_complex(y.movedim(-4, -3))[..., 0, :, :]

    columns = measured(seen).flatten(1).mT / STD
    left = (case["kspace"] - measured(start * case["image"])).flatten(1).mT / STD
    gram = columns.mH @ columns + torch.eye(columns.shape[1])
    wanted = torch.linalg.solve(gram, columns.mH @ left)
    correction = (basis.flatten(2).to(wanted) @ wanted).movedim(-1, 0)
    refined = start + correction
    refined = refined / torch.linalg.vector_norm(refined, dim=0) * abs(1 + 0.1j)
    seen = case["image"] != 0  # in air the solve has next to nothing to converge to
    torch.testing.assert_close(found[:, seen], refined[:, seen], rtol=0, atol=2e-3)


def test_the_true_image_fits_the_data_with_refined_maps_and_not_with_those_of_few_lines() -> None:
    case = scene(64, 56, 8)
    first = espirit_maps(case["kspace"], center=6, kernel=3, crop=0.0)
    noise_std = torch.tensor(STD, dtype=torch.float64)
    refined = refine_maps(case["kspace"], case["mask"], first, case["image"], 3 * noise_std)
    torch.testing.assert_close(
        torch.linalg.vector_norm(refined, dim=0), torch.linalg.vector_norm(first, dim=0)
    )
    fits = []
    for maps in (first, refined):
        # A common factor of the maps belongs to the image.
        image = (maps.conj() * case["maps"] * case["image"]).sum(0)
        operator = CoilFourier(mask=case["mask"], maps=maps)
        gap = operator(torch.view_as_real(image).movedim(-1, 0))
        gap = as_complex(gap.movedim(0, -3)) - case["kspace"]
        fits.append(float(gap.abs().square().sum() / STD**2 / (2 * 8 * case["mask"].sum())))
    assert fits[0] > 5
    assert fits[1] < 1.3


def test_a_batch_is_one_slice_after_another_and_air_keeps_its_maps() -> None:
    cases = [scene(ROWS, COLUMNS, COILS, seed) for seed in (1, 2)]
    stack = {name: torch.stack([case[name] for case in cases]) for name in cases[0]}
    stack["maps"] = stack["maps"] * (stack["image"] != 0).unsqueeze(1)
    noise_std = torch.tensor([STD, 2 * STD], dtype=torch.float64)
    both = refine_maps(**stack, noise_std=noise_std)
    for k in range(2):
        alone = refine_maps(**{n: v[k] for n, v in stack.items()}, noise_std=noise_std[k])
        torch.testing.assert_close(both[k], alone, rtol=0, atol=1e-9)
    assert (both[(stack["image"] == 0).unsqueeze(1).expand_as(both)] == 0).all()


def test_small_images_have_no_more_modes_than_pixels() -> None:
    assert cosines(MODES - 3).shape == (MODES - 3, MODES - 3)
    case = scene(9, 12, COILS)
    found = refine_maps(**case, noise_std=torch.tensor(STD))
    assert found.shape == (COILS, 9, 12)
