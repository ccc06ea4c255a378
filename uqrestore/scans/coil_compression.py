"""Coil compression: few virtual coils that hold most of the signal."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from uqrestore.scans.errors import ScanError
from uqrestore.scans.kspace import RawScan, noted
from uqrestore.scans.radial import RadialScan

Measured = TypeVar("Measured", bound=RawScan | RadialScan)


def compress_coils(raw: Measured, coils: int) -> Measured:
    """Combine whitened coils to fewer, whose noise stays white.

    The virtual coils are the principal components of the samples, the same for all slices; the
    energy that they keep is stated in the note of the scan.

    Args:
        raw: Whitened k-space.
        coils: Number of virtual coils.

    Raises:
        ScanError: If there are fewer coils than that.

    References:
        Buehrer et al., "Array Compression for MRI with Large Coil Arrays", Magn. Reson. Med.
        57:1131-1139, 2007.
    """
    have = raw.samples.shape[1]
    if not 1 <= coils <= have:
        raise ScanError(
            f"{raw.source.name}: has {have} coils, which cannot be compressed to {coils}."
        )
    flat = raw.samples.swapaxes(0, 1).reshape(have, -1).astype(np.complex128)
    power, vectors = np.linalg.eigh(flat @ flat.conj().T)
    basis = vectors[:, ::-1][:, :coils]
    kept = float(power[::-1][:coils].sum() / power.sum())

    def combined(values: np.ndarray) -> np.ndarray:
        mixed = np.einsum("dc,sd...->sc...", basis.conj(), values)
        return np.ascontiguousarray(mixed, np.complex64)

    mixing = basis if raw.noise.mixing is None else raw.noise.mixing @ basis
    note = f"{have} coils compressed to {coils} with {kept:.2%} of their energy"
    source = replace(raw.source, coils=coils, note=noted(raw.source.note, note))
    scan = replace(raw.scan, source=source)
    noise = replace(raw.noise, mixing=mixing)
    if isinstance(raw, RadialScan):
        return replace(raw, samples=combined(raw.samples), noise=noise, scan=scan)
    maps = None if raw.maps is None else combined(raw.maps)
    if maps is not None:
        norm = np.sqrt(np.square(np.abs(maps)).sum(axis=1, keepdims=True))
        maps = maps / np.where(norm > 0, norm, 1)
    others = {
        key: None if value is None else combined(value)
        for key, value in (("calibration", raw.calibration), ("reference", raw.reference))
    }
    return replace(raw, samples=combined(raw.samples), noise=noise, scan=scan, maps=maps, **others)
