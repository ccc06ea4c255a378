"""Raw data files: fastMRI's HDF5, and ISMRMRD."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from uqrestore.scans.checksum import input_sha256, printable
from uqrestore.scans.errors import ScanError
from uqrestore.scans.ismrmrd import Header, read_ismrmrd
from uqrestore.scans.kspace import RawScan, crop_readout, raw_scan
from uqrestore.scans.radial import RadialScan
from uqrestore.scans.scan import Source


def read_rawdata(
    path: Path, *, mask: Path | None = None, volume: int | None = None
) -> RawScan | RadialScan:
    """Read k-space of 2-D slices.

    fastMRI files say no orientation: rows are taken to run from anterior and columns from the
    patient's right, and a scan of theirs is told to be out of scope for it. ISMRMRD files do.

    Args:
        path: ``.h5`` or ``.mrd``.
        mask: Not taken: the coils see the whole head.
        volume: Not taken: one volume a file.

    Raises:
        ScanError: If the file is neither, is damaged, of another trajectory, 3-D, or holds more
            than one volume.
    """
    import h5py

    if mask is not None or volume is not None:
        raise ScanError(f"{path.name}: raw k-space takes neither a mask nor a volume.")
    source = Source(name=printable(path.name), format="k-space", sha256=input_sha256(path))
    try:
        with h5py.File(path, "r") as file:
            if "kspace" in file:
                return _fastmri(file, source)
            if "dataset/xml" in file:
                return read_ismrmrd(file["dataset"], source)
            if "posterior" in file:
                raise ScanError(f"{path}: is a posterior file, an output and no scan.")
    except (OSError, KeyError, RuntimeError, ElementTree.ParseError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ScanError(f"{path}: is not HDF5, or is damaged ({first}); copy it again.") from error
    raise ScanError(
        f"{path}: is HDF5, but holds neither fastMRI's 'kspace' nor an ISMRMRD 'dataset'."
    )


def _fastmri(file: Any, source: Source) -> RawScan:  # noqa: ANN401  (h5py is typed loosely)
    kspace = np.asarray(file["kspace"][...])
    if kspace.ndim == 3:
        kspace = kspace[:, None]  # single-coil
    if kspace.ndim != 4 or kspace.dtype.kind != "c":
        raise ScanError(
            f"{source.name}: kspace must be complex (slice, [coil,] row, column) but is "
            f"{kspace.dtype} of shape {kspace.shape}."
        )
    header = Header(file["ismrmrd_header"][()], source.name)
    if "mask" in file:
        columns = np.asarray(file["mask"][...]).astype(bool).ravel()
        if len(columns) != kspace.shape[-1]:
            raise ScanError(
                f"{source.name}: its mask has {len(columns)} columns, its k-space "
                f"{kspace.shape[-1]}."
            )
        kspace = kspace * columns
    kspace = crop_readout(kspace, header.recon[0], -2)
    sampled = np.broadcast_to((np.abs(kspace).max(axis=(0, 1, 2)) > 0), kspace.shape[-2:]).copy()
    row_mm = header.encoded_mm[0] * header.recon[0] / header.encoded[0] / kspace.shape[-2]
    column_mm = header.encoded_mm[1] / kspace.shape[-1]
    affine = np.diag([-column_mm, -row_mm, header.recon_mm[2], 1.0])
    affine[:2, 3] = [column_mm * (kspace.shape[-1] // 2), row_mm * (kspace.shape[-2] // 2)]
    return raw_scan(kspace, sampled, affine, source=Source(**{**vars(source), "space_code": 0}))
