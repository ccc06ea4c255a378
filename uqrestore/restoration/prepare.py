"""What one restoration works on: the slices as measured, the prior, and all that names the run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from uqrestore._version import __version__
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.windowed import WindowedDenoiser
from uqrestore.noise import Coherence
from uqrestore.pipeline import RestorePipeline
from uqrestore.pipeline.build import build_operator
from uqrestore.posterior import PosteriorPlan
from uqrestore.restoration.acquisition import Acquisition, acquire
from uqrestore.restoration.draw import (
    PriorCache,
    linear_mmse,
    weights_of,
)
from uqrestore.restoration.from_kspace import acquisition_from_kspace, coil_combined
from uqrestore.restoration.trained_operators import operator_findings
from uqrestore.scans import (
    Input,
    ModelSlices,
    RadialScan,
    RawScan,
    Scan,
    ScanError,
    Verdict,
    check_scope,
    fit_to_model,
    on_fixed_scale,
)
from uqrestore.training.batch import height_label
from uqrestore.training.volumes import heights
from uqrestore.zoo.card import PriorCard

Images = Float[np.ndarray, "slice channel row column"]
Slices = int | Sequence[int] | None
"""A number of slices spread evenly through the brain, or their indices, or every one with brain."""


@dataclass(frozen=True, eq=False)
class Restoration:
    """All that decides the numbers of one run.

    Attributes:
        pipeline: What to do.
        scan: What it is done to.
        model: The scan cut to the prior's slices.
        slices: The slices to restore, as indices on the model's grid.
        denoiser: The prior, for slices of this size.
        card: The prior's card.
        acquisition: The slices as measured.
        verdict: Whether the scan is of the kind the prior was trained on.
        reference: In file units: truth, zero_filled and the like.
        fingerprint: Names the run, see :func:`fingerprint`.
    """

    pipeline: RestorePipeline
    scan: Scan
    model: ModelSlices
    slices: tuple[int, ...]
    denoiser: Denoiser
    card: PriorCard
    acquisition: Acquisition
    verdict: Verdict
    reference: Mapping[str, Images]
    fingerprint: str

    @property
    def mask(self) -> Bool[np.ndarray, "slice row column"]:
        """Brain mask of the slices."""
        return self.model.mask[list(self.slices)]

    @property
    def coherence(self) -> Coherence:
        """How alike the noise of neighbouring slices is."""
        return Coherence(self.pipeline.axial_mm / self.scan.spacing[2], self.pipeline.axial_share)

    def classes(self, slices: Sequence[int]) -> tuple[int, ...] | None:
        """Return the class of slices by their height, or None where the prior knows none."""
        if self.card.classes is None:
            return None
        height = torch.from_numpy(heights(self.model.mask)[list(slices)])
        return tuple(height_label(height, self.card.classes.height).tolist())

    @property
    def note(self) -> str:
        """What was resampled, padded, cropped or cut into windows, in words."""
        if not isinstance(self.denoiser, WindowedDenoiser):
            return self.model.note
        rows, columns = self.denoiser.inner.in_shape[-2:]
        count = self.denoiser.windows
        return f"{self.model.note}; denoised in {count} windows of {rows} x {columns}, blended"


def fingerprint(
    pipeline: RestorePipeline,
    scan: str,
    *,
    slices: Slices = None,
    resample: bool = False,
) -> str:
    """Hash all that decides the numbers of a run, before any of it is computed.

    A batch compares it with that of a finished file to know what is done.

    Args:
        pipeline: Its title and batch size do not count, nor do the folders of its weights; the
            weights themselves do.
        scan: ``Scan.identity``, or ``scans.input_identity`` of the file.
        slices: As asked for.
        resample: As asked for.
    """
    chosen = slices if slices is None or isinstance(slices, int) else sorted(set(slices))
    weights = weights_of(pipeline)
    bare = {key: name for key, (name, _) in weights.items()}
    said = {
        "version": __version__.split(".")[0],
        "pipeline": pipeline.model_copy(update=bare).sha256,
        "weights": {key: digest for key, (_, digest) in weights.items()},
        "scan": scan,
        "slices": chosen,
        "resample": resample,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def prepare_restoration(
    pipeline: RestorePipeline,
    scan: Input,
    resample: bool,
    slices: Slices,
    device: str,
    cache: PriorCache,
) -> Restoration:
    """Load the prior, cut the scan to it and measure the slices.

    Raises:
        ScanError: If the scan does not fit the prior.
        ValueError: If the pipeline does not fit the prior.
    """
    denoiser, card = cache.denoiser(pipeline.prior, device)
    in_shape = tuple(denoiser.in_shape)
    if isinstance(scan, RawScan | RadialScan):
        parts = _as_measured(pipeline, scan, card, in_shape, resample, slices)
    else:
        parts = _simulated(pipeline, scan, card, in_shape, resample, slices)
    scan, model, acquisition, verdict, reference = parts
    conditioned = pipeline.method.name == "conditional"
    verdict = verdict.with_findings(*operator_findings(card, acquisition, conditioned=conditioned))
    if pipeline.predictor is not None:
        _, predictor = cache.denoiser(pipeline.predictor, device)
        verdict = verdict.with_findings(
            *operator_findings(predictor, acquisition, role="predictor")
        )
    size = model.images.shape[-2:]
    if size != in_shape[-2:]:  # fit_to_model allows it for a prior of windows alone
        denoiser = WindowedDenoiser(denoiser, (size[0], size[1]))
    if pipeline.baseline is not None:
        reference["linear_mmse"] = linear_mmse(pipeline.baseline, acquisition, cache)
    name = fingerprint(pipeline, scan.identity, slices=slices, resample=resample)
    chosen = acquisition.slices
    return Restoration(
        pipeline, scan, model, chosen, denoiser, card, acquisition, verdict, reference, name
    )


_Parts = tuple[Scan, ModelSlices, Acquisition, Verdict, dict[str, Images]]


def _simulated(
    pipeline: RestorePipeline,
    given: Scan,
    card: PriorCard,
    in_shape: tuple[int, ...],
    resample: bool,
    slices: Slices,
) -> _Parts:
    """Measure the images of a scan as the pipeline says."""
    if pipeline.operator is None:
        raise ValueError(
            f"{given.source.name} is an image, so the pipeline must say how to measure it: add "
            "'operator: {name: ...}'."
        )
    given = on_fixed_scale(given, card.range)
    scan = given.strip() if given.source.given_mask else given
    model = fit_to_model(
        scan,
        (in_shape[-2], in_shape[-1]),
        voxel_size=card.pixel_mm,
        resample=resample,
        whole=card.of_windows,
    )
    in_shape = (in_shape[0], *model.images.shape[-2:])
    verdict = check_scope(scan, card.domain, resampled=model.placement.resampled)
    chosen = _choose(model, slices)
    acquisition = acquire(
        build_operator(pipeline.operator, in_shape, chosen),
        model.images[list(chosen)],
        noise_std=pipeline.noise_std,
        intensity=scan.intensity,
        slices=chosen,
        seed=pipeline.seed,
        scan=scan.key,
    )
    reference = {
        "truth": model.images[list(chosen)],
        "zero_filled": acquisition.zero_filled().numpy(),
    }
    return scan, model, acquisition, verdict, reference


def _as_measured(
    pipeline: RestorePipeline,
    raw: RawScan | RadialScan,
    card: PriorCard,
    in_shape: tuple[int, ...],
    resample: bool,
    slices: Slices,
) -> _Parts:
    """Take k-space as it is; nothing is interpolated, and nothing known of the truth.

    A field of view other than the prior's stays: the operator lays the image on it.
    """
    name, size = raw.source.name, card.pixel_mm
    if pipeline.operator is not None:
        raise ValueError(
            f"{name} is raw k-space, which was measured already; use a pipeline without 'operator'."
        )
    if in_shape[0] != 1:
        raise ScanError(f"{name}: its slices are real images, but the prior makes complex ones.")
    verdict = check_scope(raw.scan, card.domain, resampled=resample)
    if resample and size is not None:
        raw = raw.at(size)
    shape, whole = (in_shape[-2], in_shape[-1]), card.of_windows
    model = fit_to_model(raw.scan, shape, voxel_size=size, whole=whole)
    acquisition = acquisition_from_kspace(raw, _choose(model, slices), model.placement)
    return (
        raw.scan,
        model,
        acquisition,
        verdict,
        {"zero_filled": coil_combined(acquisition).numpy()},
    )


def _choose(model: ModelSlices, slices: Slices) -> tuple[int, ...]:
    if slices is None or isinstance(slices, int):
        return model.pick(slices)
    count = len(model.images)
    outside = sorted({i for i in slices if not 0 <= i < count})
    if outside or not slices:
        raise ValueError(
            f"slices must be indices from 0 to {count - 1}, got {outside or 'none at all'}."
        )
    return tuple(sorted(set(slices)))


def plan(work: Restoration, device: str) -> PosteriorPlan:
    """Say what the file will hold."""
    pipeline, acquisition = work.pipeline, work.acquisition
    operator = acquisition.operator
    return PosteriorPlan(
        placement=work.model.placement,
        slices=work.slices,
        draws=pipeline.draws,
        channels=operator.in_shape[0],
        unit=work.scan.intensity.unit,
        seed=pipeline.seed,
        fingerprint=work.fingerprint,
        operator=(operator.name, *operator.to_data()),
        y=(acquisition.axes, acquisition.y.numpy()),
        observed=_observed(acquisition),
        noise_std=acquisition.noise_std,
        mask=work.mask,
        reference=work.reference,
        stats=("residual",),
        scope=work.verdict.to_data(),
        provenance=_provenance(work, device),
        title=pipeline.title,
    )


def _observed(acquisition: Acquisition) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return the way back to the coils of the scanner, where ``y`` holds others."""
    mixing = acquisition.coil_mixing
    if mixing is None:
        return {}
    parts = np.stack([np.real(mixing), np.imag(mixing)]).astype(np.float32)
    return {"coil_mixing": (("ri", "scanner_coil", "coil"), parts)}


def _provenance(work: Restoration, device: str) -> dict[str, Any]:
    """Say how to make the file again; nothing here names a person or a machine."""
    source, pipeline = work.scan.source, work.pipeline
    weights = weights_of(pipeline)
    bare = {key: name for key, (name, _) in weights.items()}  # folders name a machine
    return {
        "pipeline": pipeline.model_dump(mode="json") | bare,
        "pipeline_sha256": pipeline.sha256,
        **{key: {"name": name, "sha256": digest} for key, (name, digest) in weights.items()},
        "scan": {
            "name": source.name,
            "sha256": source.sha256,
            "key": work.scan.key,
            "tags": dict(source.tags),
            "note": source.note,
        },
        "intensity": work.scan.intensity.to_data(),
        "grid": work.note,
        "acquisition": (
            "as measured"
            if pipeline.operator is None
            else "simulated from the magnitude image of the scan"
        ),
        "random_streams": "one per (seed, scan, slice, sample); see uqrestore.noise.SampleNoise",
        "device": device,
        "dtype": "float32",
    }
