"""Everything of a posterior file as plain arrays, in the order and matrix of the user's own."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from uqrestore._shared.files import atomic
from uqrestore.posterior._native import place, placed_draws, placed_std
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.view import PosteriorFile

FILE_ORDER, SLICE_FIRST = (0, 1, 2), (2, 1, 0)


def export_array(path: Path | str, out: Path | str, *, overwrite: bool = False) -> Path:
    """Write mean, standard deviation, draws, phase and reference images as NumPy's ``.npz``.

    Arrays have the axis order and matrix of the scan's own file: (slice, row, column) for
    k-space, the order of the voxels in the file for images. Where nothing was restored they are
    NaN. ``samples`` has the draws that are kept along its first axis. Complex images (channels
    real, imaginary) are complex; their ``std`` is the root of the summed variances of both
    parts. ``phase`` in radians stands where the operator holds one: the image that was measured
    is then ``mean * exp(1j * phase)``. ``affine`` brings an index of the arrays to RAS+ mm.

    Args:
        path: A finished posterior file.
        out: The file, ending in ``.npz``.
        overwrite: Replace a file that exists.

    Returns:
        ``out``.

    Raises:
        PosteriorError: If the file is not finished, does not keep what is needed, or ``out``
            exists or has another ending.
    """
    out = Path(out)
    if out.suffix != ".npz":
        raise PosteriorError(f"{out}: arrays are written as .npz; choose such a name.")
    if out.exists() and not overwrite:
        raise PosteriorError(f"{out}: exists already; pass --overwrite or choose another name.")
    with PosteriorFile(Path(path)) as file:
        file.require_sound()
        if file.channels > len(("real", "imaginary")):
            raise PosteriorError(
                f"{path}: its images have {file.channels} channels, which are neither real nor "
                "complex; read it with xarray."
            )
        order = SLICE_FIRST if file.placement.source_format == "k-space" else FILE_ORDER
        maps = dict(_maps(file))  # all that can be refused, before a file is begun
        with atomic(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            _write(archive, "affine", file.placement.native.affine[:, [*order, 3]])
            for name, values in maps.items():
                _write(archive, name, values.transpose(order))
            _write_draws(archive, file, order)
    return out


def _maps(file: PosteriorFile) -> Iterator[tuple[str, np.ndarray]]:
    std = [placed_std(file, channel, native=True) for channel in range(file.channels)]
    yield "std", np.sqrt(np.square(std).sum(axis=0)).astype(np.float32)
    known = [name for name in file.maps if file.find(f"reference/{name}") is not None]
    for name, variable in (("mean", "mmse"), *zip(known, known, strict=True)):
        yield name, _joined([place(file, v, native=True) for v in file.channel_values(variable)])
    if file.phase is not None:
        angle = file.phase.values  # itself it must not be interpolated
        parts = [place(file, part, native=True) for part in (np.cos(angle), np.sin(angle))]
        yield "phase", np.arctan2(parts[1], parts[0])


def _joined(channels: Sequence[np.ndarray]) -> np.ndarray:
    """Return a real volume of one channel, or a complex one of two."""
    real, *imaginary = channels
    return real + np.complex64(1j) * imaginary[0] if imaginary else real


def _write(archive: zipfile.ZipFile, name: str, values: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)


def _write_draws(
    archive: zipfile.ZipFile, file: PosteriorFile, order: tuple[int, int, int]
) -> None:
    """Write the draws one by one, so that they need not fit in memory."""
    channels = [placed_draws(file, channel, native=True) for channel in range(file.channels)]
    space = [file.placement.native.shape[axis] for axis in order]
    header = {
        "descr": "<f4" if file.channels == 1 else "<c8",
        "fortran_order": False,
        "shape": (file.samples.sizes["sample"], *space),
    }
    with archive.open("samples.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for draw in zip(*channels, strict=True):
            stream.write(np.ascontiguousarray(_joined(draw).transpose(order)).tobytes())
