"""Every wrong input is refused by an error that names the operator, what came and what to do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from uqrestore.operators import (
    CoilFourier,
    Colorization,
    Composed,
    Downsampling,
    Hadamard,
    Identity,
    Inpainting,
    MaskedFourier,
    Matrix,
    Mixed,
    Padded,
    RadialFourier,
    Radon,
    Scaled,
    Stacked,
    StridedBlur,
    from_data,
    mix,
    stack_operators,
)

NAN = float("nan")
SEEN = torch.ones(1, 4, 6)
LINES = torch.ones(4, 6, dtype=torch.bool)
MAPS = torch.ones(2, 4, 6, dtype=torch.complex64)
FLAT = torch.ones(3, 3) / 9
ORDER = torch.arange(32)


def changed(value: Tensor, to: float) -> Tensor:
    value = value.clone()
    value.view(-1)[3] = to
    return value


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "mask with NaN": (lambda: Inpainting(changed(SEEN, NAN)), "inpainting: a mask holds 0 and 1"),
    "grey mask": (lambda: Inpainting(changed(SEEN, 0.5)), r"1 entries do not, such as \[0.5\]"),
    "empty mask": (lambda: Inpainting(0 * SEEN), r"is empty in problem \[0\]"),
    "one empty mask of a batch": (
        lambda: MaskedFourier(torch.stack([LINES, ~LINES])),
        r"masked_fourier: the mask of shape \(2, 4, 6\) is empty in problem \[1\]",
    ),
    "mask of too few dimensions": (lambda: Inpainting(SEEN[0, 0]), "has shape"),
    "three channels of k-space": (
        lambda: MaskedFourier(LINES, channels=3),  # type: ignore[arg-type]
        "channels",
    ),
    "kernel with NaN": (
        lambda: StridedBlur(changed(FLAT, NAN), 1, (1, 4, 6)),
        "strided_blur: the kernel holds 1 values that are NaN",
    ),
    "kernel of zeros": (lambda: StridedBlur(0 * FLAT, 1, (1, 4, 6)), "a kernel is zero everywhere"),
    "kernel larger than the image": (lambda: StridedBlur(FLAT, 1, (1, 2, 6)), "no larger than"),
    "stride that does not divide": (
        lambda: StridedBlur(FLAT, 4, (1, 4, 6)),
        r"a stride must divide the image \(4, 6\) but got \[4\]",
    ),
    "rcond of 2": (lambda: StridedBlur(FLAT, 1, (1, 4, 6), rcond=2.0), "rcond must lie between"),
    "factor that does not divide": (
        lambda: Downsampling((1, 4, 6), 4),
        r"downsampling: a factor must divide .* got \[4\]",
    ),
    "unknown kind": (
        lambda: Downsampling((1, 4, 6), 2, "lanczos"),  # type: ignore[arg-type]
        "kind",
    ),
    "measurement too small for its padding": (
        lambda: Downsampling((1, 4, 6), 2, low=(1, 3)),
        "low must be at least",
    ),
    "weights of zeros": (lambda: Colorization(torch.zeros(1, 3), (4, 6)), "all zero"),
    "weights with NaN": (lambda: Colorization(torch.full((1, 3), NAN), (4, 6)), "NaN"),
    "matrix of rank 0": (lambda: Matrix(torch.zeros(3, 24), (1, 4, 6)), "matrix of rank 0"),
    "matrix with NaN": (lambda: Matrix(torch.full((3, 24), NAN), (1, 4, 6)), "NaN"),
    "matrix for another image": (lambda: Matrix(torch.ones(3, 25), (1, 4, 6)), r"\(rows, 24\)"),
    "pixels that are no power of two": (
        lambda: Hadamard(torch.arange(24), torch.arange(3), (1, 4, 6)),
        "hadamard: rows times columns must be a power of two",
    ),
    "order that is no permutation": (
        lambda: Hadamard(torch.zeros(32, dtype=torch.long), ORDER[:3], (1, 4, 8)),
        "permutation",
    ),
    "coefficient kept twice": (
        lambda: Hadamard(ORDER, torch.tensor([1, 1]), (1, 4, 8)),
        "none twice",
    ),
    "maps of zeros": (
        lambda: CoilFourier(LINES, 0 * MAPS),
        "2 coil maps of a problem are all zero",
    ),
    "maps with NaN": (lambda: CoilFourier(LINES, MAPS * NAN), "hold NaN"),
    "maps of another size": (lambda: CoilFourier(LINES, MAPS[..., :5]), "wants maps"),
    "phase of another size": (
        lambda: CoilFourier(LINES, MAPS, phase=torch.zeros(4, 5)),
        r"phase \(4, 5\)",
    ),
    "trajectory in cycles": (
        lambda: RadialFourier(torch.full((5, 2), 3.2), (4, 6)),
        r"radial_fourier: the trajectory must lie in \[-pi, pi\] .* reaches 3.2",
    ),
    "trajectory with NaN": (lambda: RadialFourier(torch.full((5, 2), NAN), (4, 6)), "reaches nan"),
    "trajectory of three dimensions": (
        lambda: RadialFourier(torch.zeros(5, 3), (4, 6)),
        r"shape \(point, 2\)",
    ),
    "no angles": (lambda: Radon(torch.zeros(0), (1, 4, 6)), "radon: wants finite angles"),
    "angles with NaN": (lambda: Radon(torch.tensor([NAN]), (1, 4, 6)), "finite angles"),
    "tolerance of 0": (lambda: Radon(torch.zeros(1), (1, 4, 6), tol=0.0), "0 < tol < 1"),
    "no shape": (lambda: Identity((4,)), r"identity: wants an image shape"),
    "parts that do not fit": (
        lambda: Composed((MaskedFourier(LINES), Downsampling((2, 4, 6), 2))),
        r"composed: masked_fourier acts on \(2, 4, 6\) but downsampling before it gives",
    ),
    "nothing to compose": (lambda: Composed(()), "needs at least one part"),
    "parts of different images": (
        lambda: Stacked((MaskedFourier(LINES), Inpainting(SEEN))),
        "all parts must see the same image",
    ),
    "batches of different problems": (
        lambda: Stacked((Identity((1, 4, 6), (2,)), Identity((1, 4, 6), (3,)))),
        r"their sizes are \[\(2,\), \(3,\)\]",
    ),
    "scale of 0": (lambda: Scaled((Inpainting(SEEN),), 0.0), "finite and not 0"),
    "padding too short": (lambda: Padded((Inpainting(SEEN),), 23), "measures 24 rows"),
    "mixture of images": (
        lambda: mix([Identity((1, 4, 6)), Identity((1, 4, 7))]),
        "images of one shape",
    ),
    "mixture of batches": (lambda: mix([Identity((1, 4, 6), (2,))]), "these are batches: identity"),
    "mixture of nothing": (lambda: mix([]), "at least one operator"),
    "positions that repeat": (
        lambda: Mixed((Identity((1, 4, 6), (2,)),), ((0, 0),)),
        "must name every problem once",
    ),
    "stack of nothing": (lambda: stack_operators([]), "at least one operator"),
    "stack of two kinds": (
        lambda: stack_operators([Identity((1, 4, 6)), Inpainting(SEEN)]),
        "identity and inpainting; use Mixed",
    ),
    "stack of two sizes": (
        lambda: stack_operators([Inpainting(SEEN), Inpainting(SEEN[..., :5])]),
        "inpainting: operators of one batch must share mask",
    ),
    "stack of two strides of tolerance": (
        lambda: stack_operators(
            [StridedBlur(FLAT, 1, (1, 4, 6)), StridedBlur(FLAT, 1, (1, 4, 6), rcond=0.5)]
        ),
        "must share rcond",
    ),
    "unknown name": (lambda: from_data("inpaintin", {}, {}), "there is no operator 'inpaintin'"),
    "measurement of another size": (
        lambda: Inpainting(SEEN).solve(torch.ones(1, 4, 5)),
        r"measures \(\*batch, 1, 4, 6\) but got \(1, 4, 5\)",
    ),
    "one noise for each of too many": (
        lambda: Inpainting(SEEN).solve(SEEN, noise_std=torch.ones(3)),
        "noise_std must be one value or one per problem",
    ),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_is_named(name: str) -> None:
    make, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_a_single_operator_has_no_problems_to_select() -> None:
    with pytest.raises(IndexError, match="inpainting is a single operator"):
        Inpainting(SEEN).select(0)
