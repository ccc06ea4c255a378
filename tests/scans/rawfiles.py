"""Raw k-space files made from images, coils and a phase: fastMRI's HDF5 and ISMRMRD."""

from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np

from uqrestore.scans.kspace import to_kspace

XML = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <subjectInformation><patientName>Doe^Jane</patientName></subjectInformation>
 <encoding>
  <encodedSpace><matrixSize><x>{enc}</x><y>{y}</y><z>{z}</z></matrixSize>
   <fieldOfView_mm><x>{enc_mm}</x><y>{y_mm}</y><z>{z_mm}</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>{x}</x><y>{y}</y><z>{z}</z></matrixSize>
   <fieldOfView_mm><x>{x_mm}</x><y>{y_mm}</y><z>{z_mm}</z></fieldOfView_mm></reconSpace>
  <encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum>
   <center>{center}</center></kspace_encoding_step_1></encodingLimits>
  <trajectory>{trajectory}</trajectory>
 </encoding>
</ismrmrdHeader>"""


LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def xml(readout: int, phase: int, mm: tuple[float, float, float], **changes: object) -> str:
    """Return a header for pixels of ``mm``, its readout sampled twice as wide as the image."""
    fields = {
        "enc": 2 * readout, "enc_mm": 2 * readout * mm[0], "x": readout, "x_mm": readout * mm[0],
        "y": phase, "y_mm": phase * mm[1], "z_mm": mm[2], "last": phase - 1,
        "center": phase // 2, "trajectory": "cartesian", "z": 1,
    }  # fmt: skip
    return XML.format(**(fields | changes))


def coils(shape: tuple[int, int], count: int) -> np.ndarray:
    """Return smooth sensitivities (coil, row, column) around the body, of unit norm at a pixel."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    angles = 2 * np.pi * np.arange(count) / count
    maps = [
        np.exp(-((x - 1.2 * np.cos(a)) ** 2 + (y - 1.2 * np.sin(a)) ** 2) / 0.8)
        * np.exp(1j * (a + 0.8 * x * np.sin(a) + 0.8 * y * np.cos(a)))
        for a in angles
    ]
    return np.stack(maps) / np.linalg.norm(maps, axis=0)


def smooth_phase(shape: tuple[int, int]) -> np.ndarray:
    """Return the phase of an image in radians."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return 1.5 * np.cos(1.3 * x + 0.4) + 1.2 * y - 0.7 * x * y


def oversampled(images: np.ndarray, axis: int) -> np.ndarray:
    """Put images in the middle of a field of view twice as wide along the readout."""
    size = images.shape[axis]
    before = size - size // 2
    widths = [(0, 0)] * images.ndim
    widths[axis] = (before, size - before)
    return np.pad(images, widths)


def noise(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> np.ndarray:
    """Return complex noise of a standard deviation per real component."""
    return std * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))


def write_fastmri(
    path: Path, images: np.ndarray, columns: np.ndarray, std: float, count: int = 6
) -> Path:
    """Write images (slice, row, column), row 0 anterior and column 0 right, 3 mm."""
    rows, width = images.shape[1:]
    seen = images[:, None] * np.exp(1j * smooth_phase((rows, width))) * coils((rows, width), count)
    kspace = to_kspace(oversampled(seen, -2))
    kspace = kspace + noise(np.random.default_rng(0), kspace.shape, std)
    with h5py.File(path, "w") as file:
        file["kspace"] = (kspace * columns).astype(np.complex64)
        file["ismrmrd_header"] = xml(rows, width, (3, 3, 3))
        file.attrs["patient_id"] = "Doe^Jane"
    return path


def write_volume(
    path: Path,
    image: np.ndarray,
    affine: np.ndarray,
    sampled: np.ndarray,
    std: float,
    count: int = 1,
) -> Path:
    """Write a 3-D scan of an image (readout, phase, partition), sampled at (partition, phase)."""
    readout, phase, partitions = image.shape
    lps = LPS @ affine
    mm = np.linalg.norm(lps[:3, :3], axis=0)
    maps = coils((phase, readout), count) if count > 1 else np.ones((1, phase, readout))
    seen = image.transpose(2, 1, 0)[:, None] * maps * np.exp(1j * smooth_phase((phase, readout)))
    kspace = to_kspace(oversampled(seen, -1))
    kspace = np.fft.fftshift(
        np.fft.fft(np.fft.ifftshift(kspace, axes=0), axis=0, norm="ortho"), axes=0
    )
    rng = np.random.default_rng(0)
    kspace = kspace + noise(rng, kspace.shape, std)
    header = xml(readout, phase, (mm[0], mm[1], mm[2] * partitions), z=partitions)
    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=True) as file:
        file.write_xml_header(header)
        scan: Any = ismrmrd.Acquisition.from_array(
            noise(rng, (count, 4096), std).astype(np.complex64)
        )
        scan.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        scan.sample_time_us = 5.0
        file.append_acquisition(scan)
        for partition, step in np.argwhere(sampled):
            line: Any = ismrmrd.Acquisition.from_array(
                kspace[partition, :, step].astype(np.complex64)
            )
            line.idx.kspace_encode_step_1 = int(step)
            line.idx.kspace_encode_step_2 = int(partition)
            line.center_sample = readout
            place(line, lps, (readout, phase), partitions // 2)
            file.append_acquisition(line)
    return path


def write_ismrmrd(
    path: Path,
    images: np.ndarray,
    affine: np.ndarray,
    lines: np.ndarray,
    std: float,
    count: int = 1,
    *,
    noise_scan: bool = True,
    mixing: np.ndarray | None = None,
    **changes: object,
) -> Path:
    """Write images (readout, phase, slice) at an affine; ``lines`` of the phase are sampled.

    ``mixing`` (coil, coil) makes the coils unequally noisy and their noise alike.
    """
    readout, phase, slices = images.shape
    lps = LPS @ affine
    mm = np.linalg.norm(lps[:3, :3], axis=0)
    shape = (phase, readout)
    maps = coils(shape, count) if count > 1 else np.ones((1, *shape))
    rng = np.random.default_rng(0)
    mix = np.eye(count) if mixing is None else mixing
    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=True) as file:
        file.write_xml_header(xml(readout, phase, (mm[0], mm[1], mm[2]), **changes))
        if noise_scan:
            data = (mix @ noise(rng, (count, 4096), std)).astype(np.complex64)
            scan: Any = ismrmrd.Acquisition.from_array(data)
            scan.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
            scan.sample_time_us = 5.0
            file.append_acquisition(scan)
        for k in range(slices):
            seen = images[:, :, k].T * np.exp(1j * smooth_phase(shape)) * maps
            kspace = to_kspace(oversampled(seen, -1))
            kspace = kspace + np.einsum("cd,dpr->cpr", mix, noise(rng, kspace.shape, std))
            for step in np.flatnonzero(lines):
                line: Any = ismrmrd.Acquisition.from_array(kspace[:, step].astype(np.complex64))
                line.idx.kspace_encode_step_1, line.idx.slice = int(step), k
                line.center_sample = readout
                place(line, lps, (readout, phase), k)
                file.append_acquisition(line)
    return path


def place(line: Any, lps: np.ndarray, size: tuple[int, int], k: int) -> None:  # noqa: ANN401
    """Say where the slice of a line lies."""
    mm = np.linalg.norm(lps[:3, :3], axis=0)
    line.sample_time_us = 5.0
    line.position[:] = (lps @ [size[0] // 2, size[1] // 2, k, 1])[:3].tolist()
    line.read_dir[:] = (lps[:3, 0] / mm[0]).tolist()
    line.phase_dir[:] = (lps[:3, 1] / mm[1]).tolist()
    line.slice_dir[:] = (lps[:3, 2] / mm[2]).tolist()


def write_radial(
    path: Path, images: np.ndarray, affine: np.ndarray, spokes: int, std: float, count: int = 1
) -> Path:
    """Write images (readout, phase, slice) seen along spokes turned by the golden angle."""
    import torch

    from uqrestore.operators.radial_fourier import radial_trajectory, to_points

    readout, phase, slices = images.shape
    lps, shape, samples = LPS @ affine, (phase, readout), 2 * max(readout, phase)
    mm = np.linalg.norm(lps[:3, :3], axis=0)
    maps = coils(shape, count) if count > 1 else np.ones((1, *shape))
    points = radial_trajectory(spokes, samples).double()
    rng = np.random.default_rng(0)
    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=True) as file:
        header = xml(readout, phase, (mm[0], mm[1], mm[2]), trajectory="radial")
        file.write_xml_header(header)
        data = noise(rng, (count, 4096), std).astype(np.complex64)
        scan: Any = ismrmrd.Acquisition.from_array(data)
        scan.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        scan.sample_time_us = 5.0
        file.append_acquisition(scan)
        trajectory = (points.numpy()[:, ::-1] / (2 * np.pi)).reshape(spokes, samples, 2)
        for k in range(slices):
            seen = images[:, :, k].T * np.exp(1j * smooth_phase(shape)) * maps
            y = to_points(torch.as_tensor(seen), points, 1e-9).numpy()
            y = (y + noise(rng, y.shape, std)).reshape(count, spokes, samples)
            for i in range(spokes):
                line: Any = ismrmrd.Acquisition.from_array(
                    y[:, i].astype(np.complex64), trajectory[i].astype(np.float32)
                )
                line.idx.kspace_encode_step_1, line.idx.slice = i, k
                line.center_sample = samples // 2
                place(line, lps, (readout, phase), k)
                file.append_acquisition(line)
    return path
