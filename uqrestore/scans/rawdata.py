"""Raw data files: fastMRI's HDF5 and ISMRMRD, both read with h5py alone."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from uqrestore.scans.errors import ScanError
from uqrestore.scans.inputs import input_sha256, printable
from uqrestore.scans.kspace import RawScan, crop_readout, raw_scan
from uqrestore.scans.scan import Source

NOISE, CALIBRATION = 1 << 18, 1 << 19  # flags of ISMRMRD count from 1
NO_IMAGE = sum(1 << (flag - 1) for flag in (19, 20, 23, 24, 26, 27, 28, 29))
FRAMES = ("repetition", "contrast", "phase", "set", "kspace_encode_step_2")


def read_rawdata(path: Path, *, mask: Path | None = None, volume: int | None = None) -> RawScan:
    """Read Cartesian k-space of 2-D slices.

    fastMRI files say no orientation: rows are taken to run from anterior and columns from the
    patient's right, and a scan of theirs is told to be out of scope for it. ISMRMRD files do.

    Args:
        path: ``.h5`` or ``.mrd``.
        mask: Not taken: the coils see the whole head.
        volume: Not taken: one volume a file.

    Raises:
        ScanError: If the file is neither, is damaged, not Cartesian, 3-D, or holds more than one
            volume.
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
                return _ismrmrd(file["dataset"], source)
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
    header = _Header(file["ismrmrd_header"][()], source.name)
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


def _ismrmrd(group: Any, source: Source) -> RawScan:  # noqa: ANN401
    header = _Header(np.ravel(group["xml"][...])[0], source.name)
    if header.trajectory not in {"cartesian", ""}:
        raise ScanError(
            f"{source.name}: its trajectory is {header.trajectory}; only Cartesian k-space is read."
        )
    lines = group["data"][...]
    heads = lines["head"]
    image = (heads["flags"] & NO_IMAGE) == 0
    noise = (heads["flags"] & NOISE) != 0
    if not image.any():
        raise ScanError(f"{source.name}: holds no line of an image.")
    index = heads["idx"]
    several = [name for name in FRAMES if len(np.unique(index[name][image])) > 1]
    if several:
        raise ScanError(
            f"{source.name}: holds several images a slice ({', '.join(several)}); export one."
        )
    kspace, counts = _gather(lines[image], header)
    kspace = kspace / np.maximum(counts, 1)[:, None, :, None]
    recon = header.recon[0]
    kspace = crop_readout(kspace, recon, -1)
    measured = counts > 0
    if (measured != measured[0]).any():
        raise ScanError(f"{source.name}: its slices are sampled differently from one another.")
    sampled = np.repeat(measured[0][:, None], kspace.shape[-1], axis=1)
    affine = _affine(heads[image], header, kspace.shape, source.name)
    std = _noise_scan(lines[noise], heads[image]) if noise.any() else None
    return raw_scan(
        kspace, sampled, affine, source=source, noise=None if std is None else (std, "noise scan")
    )


class _Header:
    """What the XML of ISMRMRD says of the encoding; sizes along readout, phase and slice."""

    def __init__(self, text: bytes | str, name: str) -> None:
        root = ElementTree.fromstring(text)
        encoding = root.find("{*}encoding")
        if encoding is None:
            raise ScanError(f"{name}: its header says nothing of the encoding.")
        self.name = name
        self.trajectory = (encoding.findtext("{*}trajectory") or "").strip().lower()
        self.encoded = [int(n) for n in self._three(encoding, "encodedSpace", "matrixSize")]
        self.encoded_mm = self._three(encoding, "encodedSpace", "fieldOfView_mm")
        self.recon = [int(n) for n in self._three(encoding, "reconSpace", "matrixSize")]
        self.recon_mm = self._three(encoding, "reconSpace", "fieldOfView_mm")
        limits = encoding.find("{*}encodingLimits/{*}kspace_encoding_step_1/{*}center")
        middle = self.encoded[1] // 2
        self.center = int(limits.text or middle) if limits is not None else middle

    def _three(self, encoding: Any, space: str, what: str) -> list[float]:  # noqa: ANN401
        found = [encoding.findtext(f"{{*}}{space}/{{*}}{what}/{{*}}{axis}") for axis in "xyz"]
        try:
            numbers = [float(value) for value in found]
        except (TypeError, ValueError):
            numbers = [0.0]
        if min(numbers) <= 0 or not np.isfinite(numbers).all():
            raise ScanError(f"{self.name}: its header has no usable {what} of the {space}.")
        return numbers


def _gather(lines: np.ndarray, header: _Header) -> tuple[np.ndarray, np.ndarray]:
    """Add up lines: (slice, coil, phase, readout), and how many fell on each (slice, phase)."""
    heads = lines["head"]
    coils = int(heads["active_channels"].max())
    slices = int(heads["idx"]["slice"].max()) + 1
    readout, phases = header.encoded[0], header.encoded[1]
    kspace = np.zeros((slices, coils, phases, readout), np.complex128)
    counts = np.zeros((slices, phases), int)
    for head, data in zip(heads, lines["data"], strict=True):
        line = np.asarray(data, np.float32).view(np.complex64)
        line = line.reshape(int(head["active_channels"]), -1)
        phase = int(head["idx"]["kspace_encode_step_1"]) - header.center + phases // 2
        start = readout // 2 - int(head["center_sample"])
        keep = slice(max(start, 0), min(start + line.shape[1], readout))
        if not 0 <= phase < phases or len(line) != coils or keep.stop <= keep.start:
            raise ScanError(
                f"{header.name}: a line of {line.shape[1]} samples at step "
                f"{int(head['idx']['kspace_encode_step_1'])} does not fit the encoding of "
                f"{readout} x {phases}."
            )
        place = int(head["idx"]["slice"])
        kspace[place, :, phase, keep] += line[:, keep.start - start : keep.stop - start]
        counts[place, phase] += 1
    return kspace, counts


def _noise_scan(lines: np.ndarray, heads: np.ndarray) -> float:
    """Return the noise of an image line; noise power goes with the bandwidth of the sampling."""
    values = np.concatenate([np.asarray(data, np.float64) for data in lines["data"]])
    mine = float(np.median(heads["sample_time_us"]))
    theirs = float(np.median(lines["head"]["sample_time_us"]))
    bandwidth = theirs / mine if mine > 0 and theirs > 0 else 1.0
    return float(values.std() * np.sqrt(bandwidth))


def _affine(heads: np.ndarray, header: _Header, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return (readout, phase, slice) to RAS+ mm; positions are of the middle of a slice, LPS."""
    first = {int(h["idx"]["slice"]): h for h in heads[::-1]}
    if sorted(first) != list(range(shape[0])):
        raise ScanError(f"{name}: slices are missing; it has {sorted(first)}.")
    middle = np.stack([first[k]["position"] for k in sorted(first)]).astype(float)
    readout, phase, through = (
        np.asarray(first[0][key], float) for key in ("read_dir", "phase_dir", "slice_dir")
    )
    if min(np.linalg.norm(v) for v in (readout, phase, through)) < 0.5:
        raise ScanError(f"{name}: its lines do not say how the slices lie.")
    step = through * header.recon_mm[2] / max(header.recon[2], 1)
    if shape[0] > 1:
        step = (middle[-1] - middle[0]) / (shape[0] - 1)
        off = np.abs(middle - middle[0] - np.arange(shape[0])[:, None] * step).max()
        if off > max(0.01, 0.01 * float(np.linalg.norm(step))) or not np.any(step):
            raise ScanError(f"{name}: its slices are not regularly spaced (off by {off:.3f} mm).")
    kept = header.encoded_mm[0] * min(header.recon[0] / header.encoded[0], 1)
    affine = np.eye(4)
    affine[:3, 0] = readout * kept / shape[3]
    affine[:3, 1] = phase * header.encoded_mm[1] / shape[2]
    affine[:3, 2] = step
    affine[:3, 3] = middle[0] - affine[:3, 0] * (shape[3] // 2) - affine[:3, 1] * (shape[2] // 2)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
