"""Measurement of prepared slices: simulated as a pipeline states, or the k-space of the scan."""

from uqrestore.pipeline import RestorePipeline
from uqrestore.pipeline.build import build_operator
from uqrestore.posterior.acquisition import Acquisition, acquire
from uqrestore.restoration.from_kspace import acquisition_from_kspace
from uqrestore.restoration.prepare import PreparedScan


def acquire_slices(pipeline: RestorePipeline, prepared: PreparedScan) -> Acquisition:
    """Return the measurement of prepared slices: simulated, or the k-space that was measured.

    Raises:
        ScanError: If k-space is not sampled densely enough for coil maps.
        ValueError: If the operator does not act on slices of this shape.
    """
    if prepared.kspace is not None:
        placement = prepared.model.placement
        return acquisition_from_kspace(
            prepared.kspace,
            prepared.slices,
            placement,
            complex_image=prepared.in_shape[0] == 2,
        )
    assert pipeline.operator is not None  # as prepare_scan requires
    assert prepared.truth is not None
    return acquire(
        build_operator(pipeline.operator, prepared.in_shape, prepared.slices),
        prepared.truth,
        noise_std=pipeline.noise_std,
        intensity=prepared.scan.intensity,
        slices=prepared.slices,
        seed=pipeline.seed,
        scan=prepared.scan.key,
    )
