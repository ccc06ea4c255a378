"""BART's .cfl and .hdr files."""

from pathlib import Path

import numpy as np

from uqrestore.scans.cartesian import Spacing, scan_from_kspace
from uqrestore.scans.checksum import printable
from uqrestore.scans.errors import ScanError
from uqrestore.scans.kspace import RawScan

READ, PHASE, COIL, SLICE = 0, 1, 3, 13  # of BART's 16 dimensions
NAMES = (
    "read", "phase 1", "phase 2", "coil", "maps", "echo", "coefficient", "coefficient 2",
    "iteration", "shift", "time", "time 2", "level", "slice", "average", "batch",
)  # fmt: skip


def read_cfl(path: Path | str) -> np.ndarray:
    """Read an array of BART's, all of its dimensions.

    Args:
        path: Name of the pair of files, with or without ``.cfl``.

    Raises:
        ScanError: If one of the files is missing, or they disagree.
    """
    base = Path(path)
    base = base.with_suffix("") if base.suffix in {".cfl", ".hdr"} else base
    header, data = base.with_name(base.name + ".hdr"), base.with_name(base.name + ".cfl")
    for file in (header, data):
        if not file.is_file():
            raise ScanError(f"{file}: is missing; BART stores an array as .hdr and .cfl.")
    words = iter(header.read_text(errors="replace").splitlines())
    sizes = next((next(words, "") for line in words if line.startswith("# Dimensions")), "")
    try:
        dimensions = tuple(int(word) for word in sizes.split())
    except ValueError:
        dimensions = ()
    if not dimensions or min(dimensions) < 1:
        raise ScanError(f"{header}: states no dimensions; write it with BART.")
    count = int(np.prod(dimensions, dtype=np.int64))
    if data.stat().st_size != 8 * count:
        raise ScanError(
            f"{data}: holds {data.stat().st_size} bytes, but its header states {dimensions}, "
            f"which take {8 * count}; copy both again."
        )
    return np.fromfile(data, "<c8").reshape(dimensions, order="F")


def read_bart(
    kspace: Path | str,
    *,
    spacing: Spacing,
    maps: Path | str | None = None,
    noise_cov: np.ndarray | None = None,
    noise_std: float | None = None,
) -> RawScan:
    """Read 2-D Cartesian k-space of BART's.

    The first dimension (read) becomes columns and the second (phase) rows; what is exactly zero
    was not measured. BART states neither pixel size nor orientation.

    Args:
        kspace: Pair of files with dimensions read, phase 1, coil and slice.
        spacing: Pixel size in mm, as in :func:`scan_from_kspace`.
        maps: Pair of files of coil sensitivities, one set, such as ``bart ecalib -m1`` writes.
        noise_cov: As in :func:`scan_from_kspace`.
        noise_std: As in :func:`scan_from_kspace`.

    Raises:
        ScanError: If an array has other dimensions, or as :func:`scan_from_kspace`.
    """
    return scan_from_kspace(
        _stack(kspace),
        spacing=spacing,
        maps=None if maps is None else _stack(maps),
        noise_cov=noise_cov,
        noise_std=noise_std,
        name=printable(Path(kspace).name),
    )


def _stack(path: Path | str) -> np.ndarray:
    """Return (slice, coil, row, column)."""
    array = read_cfl(path)
    array = array.reshape(*array.shape, *[1] * (len(NAMES) - array.ndim))
    used = {READ, PHASE, COIL, SLICE}
    other = [
        f"{size} of {label}"
        for axis, (size, label) in enumerate(zip(array.shape, NAMES, strict=True))
        if size > 1 and axis not in used
    ]
    if other:
        raise ScanError(
            f"{path}: holds {', '.join(other)}; only read, phase 1, coil and slice are taken."
        )
    return np.transpose(array, (SLICE, COIL, PHASE, READ, *sorted(set(range(16)) - used)))[
        ..., *[0] * 12
    ]
