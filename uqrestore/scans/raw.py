"""Raw data files: fastMRI's HDF5, and ISMRMRD."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from uqrestore.scans.cartesian import cartesian_scan
from uqrestore.scans.checksum import input_sha256, printable
from uqrestore.scans.coil_noise import CoilNoise
from uqrestore.scans.errors import ScanError
from uqrestore.scans.ismrmrd import read_ismrmrd
from uqrestore.scans.ismrmrd_header import Header, read_header
from uqrestore.scans.kspace import RawScan
from uqrestore.scans.radial import RadialScan
from uqrestore.scans.sampling import sampled_by_mask, sampled_by_zeros
from uqrestore.scans.scan import Source


def read_rawdata(
    path: Path,
    *,
    mask: Path | None = None,
    volume: int | None = None,
    noise_std: float | None = None,
) -> RawScan | RadialScan:
    """Read k-space of 2-D slices, or a 3-D Cartesian scan as slices along its readout.

    fastMRI files state no orientation: rows are taken to run from anterior and columns from the
    patient's right, and the scan is out of scope for it. ISMRMRD files do.

    Args:
        path: ``.h5`` or ``.mrd``.
        mask: Not accepted: the coils see the whole head.
        volume: Image of a slice, where an ISMRMRD file holds several.
        noise_std: Noise of the samples per real component, instead of the file's.

    Raises:
        ScanError: If the file is neither, is damaged, of another trajectory, or says what the
            reader cannot use.
    """
    import h5py

    if mask is not None:
        raise ScanError(f"{path.name}: raw k-space takes no mask; the coils see the whole head.")
    source = Source(
        name=printable(path.name),
        format="k-space",
        sha256=input_sha256(path),
        volume=volume,
        noise_std=noise_std,
    )
    noise = None if noise_std is None else CoilNoise(noise_std, "standard deviation given")
    try:
        # Read without a lock, which some network drives do not grant.
        with h5py.File(path, "r", locking=False) as file:
            if "kspace" in file:
                if volume is not None:
                    raise ScanError(f"{source.name}: holds one volume; leave --volume out.")
                return _fastmri(file, source, noise)
            groups = [
                key
                for key, value in file.items()
                if isinstance(value, h5py.Group) and "xml" in value and "data" in value
            ]
            if len(groups) == 1:
                group = file[groups[0]]
                return read_ismrmrd(group, source, noise)
            if groups:
                raise ScanError(
                    f"{source.name}: holds {len(groups)} ISMRMRD data sets ({', '.join(groups)}); "
                    "give a file with one."
                )
            if "posterior" in file:
                raise ScanError(f"{path}: is a posterior file, an output and no scan.")
    except (OSError, KeyError, RuntimeError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ScanError(f"{path}: is not HDF5, or is damaged ({first}); copy it again.") from error
    raise ScanError(
        f"{path}: is HDF5, but holds neither fastMRI's 'kspace' nor an ISMRMRD group with 'xml' "
        "(its header) and 'data'."
    )


def _fastmri(file: Any, source: Source, noise: CoilNoise | None) -> RawScan:  # noqa: ANN401
    name = source.name
    kspace = np.asarray(file["kspace"][...])
    if kspace.ndim == 3:
        kspace = kspace[:, None]  # single-coil
    if kspace.ndim != 4 or kspace.dtype.kind != "c":
        raise ScanError(
            f"{name}: kspace must be complex (slice, [coil,] row, column) but is "
            f"{kspace.dtype} of shape {kspace.shape}."
        )
    if "ismrmrd_header" not in file:
        raise ScanError(
            f"{name}: holds k-space, but no 'ismrmrd_header': an XML header that states matrix "
            "and field of view (encodedSpace, reconSpace) is needed."
        )
    header = read_header(file["ismrmrd_header"][()], name)
    rows, columns = kspace.shape[-2:]
    if (rows, columns) != header.encoded[:2]:
        raise ScanError(
            f"{name}: its header encodes {header.encoded[0]} x {header.encoded[1]} samples, but "
            f"its k-space has {rows} x {columns}; correct matrix and field of view."
        )
    sampled = _sampled(file, kspace, header)
    row_mm, column_mm = header.pixel
    affine = np.diag([-column_mm, -row_mm, header.recon_mm[2], 1.0])
    affine[:2, 3] = [column_mm * (columns // 2), row_mm * (rows // 2)]
    return cartesian_scan(
        kspace,
        sampled,
        affine,
        source=replace(source, space_code=0),
        noise=noise,
        readout=(-2, header.readout),
    )


def _sampled(file: Any, kspace: np.ndarray, header: Header) -> np.ndarray:  # noqa: ANN401
    """Return the file's mask of columns, or of samples, within its encoding limits."""
    if "mask" not in file:
        return sampled_by_zeros(kspace, header.name)
    mask = np.squeeze(np.asarray(file["mask"][...])).astype(bool)
    shape = kspace.shape[-2:]
    if mask.shape not in {shape[1:], shape}:
        raise ScanError(
            f"{header.name}: its mask has shape {mask.shape}, but its k-space has {shape[0]} rows "
            f"and {shape[1]} columns."
        )
    mask = np.broadcast_to(mask, shape)
    if header.phase is not None:
        # fastMRI's masks ignore that outer columns may be zero-padding.
        step = np.arange(shape[1]) - shape[1] // 2 + header.phase.center
        mask = mask & (step >= header.phase.minimum) & (step <= header.phase.maximum)
    return sampled_by_mask(kspace, mask, header.name)
