"""ISMRMRD raw data, read with h5py alone: Cartesian lines and radial spokes of 2-D slices."""

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np

from uqrestore.scans.errors import ScanError
from uqrestore.scans.kspace import CoilNoise, RawScan, crop_readout, raw_scan
from uqrestore.scans.radial import RadialScan, radial_scan
from uqrestore.scans.scan import Source

NOISE = 1 << 18  # flags of ISMRMRD count from 1
NO_IMAGE = sum(1 << (flag - 1) for flag in (19, 20, 23, 24, 26, 27, 28, 29))
SAMPLES_A_COIL = 20  # of a noise scan: then a variance is known to a fifth
FRAMES = ("repetition", "contrast", "phase", "set", "kspace_encode_step_2")
HIGHEST = 0.5  # of a trajectory, in cycles per pixel of the image


def read_ismrmrd(group: Any, source: Source) -> RawScan | RadialScan:  # noqa: ANN401
    """Read the group ``dataset`` of a file.

    Raises:
        ScanError: If its trajectory is of another kind, it holds more than one volume, or lines
            do not fit its header.
    """
    header = Header(np.ravel(group["xml"][...])[0], source.name)
    if header.trajectory not in {"cartesian", "radial", ""}:
        raise ScanError(
            f"{source.name}: its trajectory is {header.trajectory}; only Cartesian and radial "
            "k-space are read."
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
    scan = _noise_scan(lines[noise], heads[image]) if noise.any() else None
    if header.trajectory == "radial":
        return _radial(lines[image], header, scan, source)
    return _cartesian(lines[image], header, scan, source)


def _cartesian(
    lines: np.ndarray, header: "Header", noise: tuple[np.ndarray, float] | None, source: Source
) -> RawScan:
    kspace, counts = _gather(lines, header)
    kspace = kspace / np.maximum(counts, 1)[:, None, :, None]
    kspace = crop_readout(kspace, header.recon[0], -1)
    measured = counts > 0
    if (measured != measured[0]).any():
        raise ScanError(f"{source.name}: its slices are sampled differently from one another.")
    sampled = np.repeat(measured[0][:, None], kspace.shape[-1], axis=1)
    kept = header.encoded_mm[0] * min(header.recon[0] / header.encoded[0], 1)
    pixel = kept / kspace.shape[3], header.encoded_mm[1] / kspace.shape[2]
    affine = _affine(lines["head"], header, pixel, (kspace.shape[3], kspace.shape[2]))
    kspace, found = _whitened(kspace, noise)
    if found is not None:
        found = replace(found, std=found.std / float(np.sqrt(counts[counts > 0].min())))
    return raw_scan(kspace, sampled, affine, source=source, noise=found)


def _radial(
    lines: np.ndarray, header: "Header", noise: tuple[np.ndarray, float] | None, source: Source
) -> RadialScan:
    """Read spokes, whose trajectory stands beside their samples; the same for every slice."""
    if noise is None:
        raise ScanError(f"{source.name}: radial k-space needs a noise scan in the file.")
    heads = lines["head"]
    slices = int(heads["idx"]["slice"].max()) + 1
    spokes: list[list[np.ndarray]] = [[] for _ in range(slices)]
    places: list[list[np.ndarray]] = [[] for _ in range(slices)]
    for head, data, traj in zip(heads, lines["data"], lines["traj"], strict=True):
        line = np.asarray(data, np.float32).view(np.complex64)
        line = line.reshape(int(head["active_channels"]), -1)
        points = np.asarray(traj, np.float64)
        dimensions = int(head["trajectory_dimensions"])
        if dimensions != 2 or len(points) != 2 * line.shape[1]:
            raise ScanError(
                f"{source.name}: a spoke of {line.shape[1]} samples has no trajectory of two "
                "numbers a sample beside it."
            )
        spokes[int(head["idx"]["slice"])].append(line)
        places[int(head["idx"]["slice"])].append(points.reshape(-1, 2))
    first = np.asarray(places[0]) if len({p.shape for p in places[0]}) == 1 else None
    if first is None or any(
        len(other) != len(first) or not np.allclose(np.asarray(other), first, atol=1e-5)
        for other in places
    ):
        raise ScanError(f"{source.name}: its slices are sampled differently from one another.")
    reach = float(np.abs(first).max())
    if not 0 < reach <= HIGHEST * 1.01:
        raise ScanError(
            f"{source.name}: its trajectory reaches {reach:.3g}, but {HIGHEST} is the highest "
            "frequency of the image; divide it by the image's highest frequency and by 2."
        )
    samples = np.stack([np.concatenate(lines, axis=1) for lines in spokes])
    columns, rows = (int(n) for n in header.recon[:2])
    pixel = header.recon_mm[0] / columns, header.recon_mm[1] / rows
    affine = _affine(heads, header, pixel, (columns, rows))
    samples, found = _whitened(samples, noise)
    assert found is not None
    return radial_scan(
        samples,
        2 * np.pi * np.clip(first.reshape(-1, 2)[:, ::-1], -HIGHEST, HIGHEST),
        (rows, columns),
        affine,
        spokes=len(first),
        noise=found,
        source=source,
    )


def _whitened(
    kspace: np.ndarray, noise: tuple[np.ndarray, float] | None
) -> tuple[np.ndarray, CoilNoise | None]:
    """Make the coils ``(slice, coil, ...)`` equally noisy; say how noisy."""
    if noise is None:
        return kspace, None
    values, std = noise
    mixing = _mixing(values)
    if mixing is None:
        return kspace, CoilNoise(std, "noise scan")
    white = np.einsum("cd,sd...->sc...", np.linalg.inv(mixing), kspace)
    return white, CoilNoise(std, "noise scan, coils whitened by its covariance", mixing)


class Header:
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


def _gather(lines: np.ndarray, header: Header) -> tuple[np.ndarray, np.ndarray]:
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


def _noise_scan(lines: np.ndarray, heads: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the samples (coil, sample) of the noise scan, and the noise of an image line.

    Noise power goes with the bandwidth of the sampling.
    """
    coils = [int(head["active_channels"]) for head in lines["head"]]
    values = np.concatenate(
        [
            np.asarray(data, np.float32).view(np.complex64).reshape(count, -1)
            for data, count in zip(lines["data"], coils, strict=True)
        ],
        axis=1,
    )
    mine = float(np.median(heads["sample_time_us"]))
    theirs = float(np.median(lines["head"]["sample_time_us"]))
    bandwidth = theirs / mine if mine > 0 and theirs > 0 else 1.0
    return values, float(np.sqrt(bandwidth * np.square(np.abs(values)).mean() / 2))


def _mixing(noise: np.ndarray) -> np.ndarray | None:
    """Return the matrix that mixes equally noisy, uncorrelated coils to these; mean power stays.

    None where the noise scan is too short to tell, or there is one coil.
    """
    coils, count = noise.shape
    if coils == 1 or count < SAMPLES_A_COIL * coils:
        return None
    covariance = noise @ noise.conj().T / count
    power = float(np.real(np.trace(covariance))) / coils
    try:
        return np.linalg.cholesky(covariance) / np.sqrt(power)
    except np.linalg.LinAlgError:
        return None


def _affine(
    heads: np.ndarray, header: Header, pixel: tuple[float, float], size: tuple[int, int]
) -> np.ndarray:
    """Return (readout, phase, slice) to RAS+ mm; positions are of the middle of a slice, LPS."""
    name = header.name
    first = {int(h["idx"]["slice"]): h for h in heads[::-1]}
    if sorted(first) != list(range(max(first) + 1)):
        raise ScanError(f"{name}: slices are missing; it has {sorted(first)}.")
    middle = np.stack([first[k]["position"] for k in sorted(first)]).astype(float)
    count = len(middle)
    readout, phase, through = (
        np.asarray(first[0][key], float) for key in ("read_dir", "phase_dir", "slice_dir")
    )
    if min(np.linalg.norm(v) for v in (readout, phase, through)) < 0.5:
        raise ScanError(f"{name}: its lines do not say how the slices lie.")
    step = through * header.recon_mm[2] / max(header.recon[2], 1)
    if count > 1:
        step = (middle[-1] - middle[0]) / (count - 1)
        off = np.abs(middle - middle[0] - np.arange(count)[:, None] * step).max()
        if off > max(0.01, 0.01 * float(np.linalg.norm(step))) or not np.any(step):
            raise ScanError(f"{name}: its slices are not regularly spaced (off by {off:.3f} mm).")
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = readout * pixel[0], phase * pixel[1]
    affine[:3, 2] = step
    affine[:3, 3] = middle[0] - affine[:3, 0] * (size[0] // 2) - affine[:3, 1] * (size[1] // 2)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
