"""Fully sampled k-space: undersampled retrospectively, or the reference of other k-space."""

import hashlib
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from uqrestore.scans.coil_noise import whiten
from uqrestore.scans.errors import ScanError
from uqrestore.scans.kspace import RawScan, noted, raw_scan


def undersampled(raw: RawScan, mask: Bool[np.ndarray, "row column"]) -> RawScan:
    """Keep the samples of a mask; all of them become the reference.

    Args:
        raw: Fully sampled k-space.
        mask: Samples to keep, in patient order.

    Raises:
        ScanError: If k-space is not fully sampled.
    """
    _require_full(raw, "to be undersampled")
    kept = raw_scan(
        np.where(mask, raw.samples, 0),
        mask,
        raw.scan.affine,
        source=raw.source,
        noise=raw.noise,
        maps=raw.maps,
        calibration=raw.calibration,
    )
    share = f"{mask.mean():.1%} of fully sampled k-space kept"
    digest = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
    note = noted(raw.source.note, share)
    source = replace(raw.source, note=note, kept_sha256=digest)
    return replace(kept, scan=replace(kept.scan, source=source), reference=raw.samples)


def with_reference(raw: RawScan, full: RawScan) -> RawScan:
    """Return k-space that knows its fully sampled reference, whitened as it is.

    Args:
        raw: K-space to restore.
        full: Fully sampled k-space of the same slices and coils.

    Raises:
        ScanError: If the two differ in coils, slices or geometry, or ``full`` is incomplete.
    """
    _require_full(full, "as a reference")
    same = raw.samples.shape == full.samples.shape
    if not same or not np.allclose(raw.scan.affine, full.scan.affine, atol=1e-3):
        raise ScanError(
            f"{full.source.name}: is no reference of {raw.source.name}: (slice, coil, row, column) "
            f"is {full.samples.shape} and {raw.samples.shape}, and their positions must agree too."
        )
    samples = full.samples
    if full.noise.mixing is not None:
        samples = np.einsum("cd,sd...->sc...", full.noise.mixing, samples)
    source = replace(raw.source, reference_sha256=full.source.sha256)
    return replace(
        raw,
        scan=replace(raw.scan, source=source),
        reference=whiten(samples, raw.noise).astype(np.complex64),
    )


def _require_full(raw: RawScan, purpose: str) -> None:
    if not raw.sampled.all():
        raise ScanError(
            f"{raw.source.name}: k-space must be fully sampled {purpose}, but only "
            f"{raw.sampled.mean():.1%} of it was measured."
        )
