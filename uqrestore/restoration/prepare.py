"""A scan brought to the grid of a prior: slices, mask, scope."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.windowed import WindowedDenoiser, for_slices
from uqrestore.operators import MaskedFourier
from uqrestore.pipeline import OperatorPart, RestorePipeline
from uqrestore.pipeline.build import build_operator
from uqrestore.restoration.options import RunOptions, Slices
from uqrestore.restoration.prior_cache import PriorCache
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
    undersampled,
)
from uqrestore.training.batch import height_label
from uqrestore.training.volumes import heights
from uqrestore.zoo.card import PriorCard


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """Slices of a scan on the grid of a prior, and the prior for slices of this size.

    Attributes:
        scan: Scan that is restored; stripped to its mask where one was given. Of raw k-space the
            zero-filled image.
        kspace: Raw k-space with the pixels that are restored; None for an image.
        model: Slices and mask of the whole scan on the prior's grid.
        slices: Indices of the slices to restore, on the model grid.
        denoiser: Prior for slices of this size.
        card: Card of the prior.
        verdict: Whether the scan is of the kind the prior was trained on; the measurement is not
            judged yet.
    """

    scan: Scan
    kspace: RawScan | RadialScan | None
    model: ModelSlices
    slices: tuple[int, ...]
    denoiser: Denoiser
    card: PriorCard
    verdict: Verdict

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Shape ``(channel, row, column)`` of a slice."""
        return (self.denoiser.in_shape[0], *self.model.images.shape[-2:])

    @property
    def mask(self) -> Bool[np.ndarray, "slice row column"]:
        """Brain mask of the slices."""
        return self.model.mask[list(self.slices)]

    @property
    def truth(self) -> Float[np.ndarray, "slice channel row column"] | None:
        """Images of the slices in file units; None for raw k-space, whose truth is unknown."""
        return None if self.kspace is not None else self.model.images[list(self.slices)]

    @property
    def note(self) -> str:
        """One line on what was resampled, padded, cropped or cut into windows."""
        if not isinstance(self.denoiser, WindowedDenoiser):
            return self.model.note
        rows, columns = self.denoiser.inner.in_shape[-2:]
        count = self.denoiser.windows
        return f"{self.model.note}; denoised in {count} windows of {rows} x {columns}, blended"

    def classes(self, slices: Sequence[int]) -> tuple[int, ...] | None:
        """Return the class of slices by their height; None if the prior has no such classes."""
        if self.card.classes is None:
            return None
        height = torch.from_numpy(heights(self.model.mask)[list(slices)])
        return tuple(height_label(height, self.card.classes.height).tolist())


def prepare_scan(
    pipeline: RestorePipeline, scan: Input, options: RunOptions, cache: PriorCache
) -> PreparedScan:
    """Load the prior of a pipeline and bring a scan to its grid.

    Args:
        pipeline: Names the prior, and an operator unless the scan is raw k-space.
        scan: As ``scans.read_input`` returns it.
        options: Slices, resampling and device of the run.
        cache: Keeps the prior for the next scan.

    Raises:
        ScanError: If the scan does not fit the prior.
        ValueError: If the pipeline does not fit the scan, or a slice does not exist.
    """
    _check_operator(pipeline, scan)
    denoiser, card = cache.denoiser(pipeline.prior, options.device)
    if isinstance(scan, RawScan | RadialScan):
        prepared = _prepare_kspace(pipeline, scan, denoiser, card, options)
    else:
        prepared = _prepare_image(scan, denoiser, card, options)
    # Only for a prior of windows does fit_to_model return slices of another size.
    return replace(prepared, denoiser=for_slices(denoiser, *prepared.model.images.shape[-2:]))


def _check_operator(pipeline: RestorePipeline, scan: Input) -> None:
    """Raise unless the measurement comes from either the pipeline or the scan."""
    raw = isinstance(scan, RawScan | RadialScan)
    full = isinstance(scan, RawScan) and bool(scan.sampled.all())
    part = pipeline.operator
    masks = part is not None and part.name == "masked_fourier" and part.mask is not None
    if raw and part is not None and not (full and masks):
        raise ValueError(
            f"{scan.source.name} is raw k-space, which was measured already; use a pipeline "
            "without 'operator', such as --pipeline raw-head. (Fully sampled Cartesian k-space "
            "can be undersampled by a masked_fourier with a mask.)"
        )
    if not raw and pipeline.operator is None:
        raise ValueError(
            f"{scan.source.name} is an image, so the pipeline must state its measurement: add "
            "'operator: {name: ...}', or use one that does, such as --pipeline brain-cs4-ssd."
        )


def _prepare_image(
    given: Scan, denoiser: Denoiser, card: PriorCard, options: RunOptions
) -> PreparedScan:
    given = on_fixed_scale(given, card.range)
    scan = given.strip() if given.source.given_mask else given
    model = _fit(scan, denoiser, card, resample=options.resample)
    verdict = check_scope(scan, card.domain, resampled=model.placement.resampled)
    slices = _choose(model, options.slices)
    return PreparedScan(scan, None, model, slices, denoiser, card, verdict)


def _prepare_kspace(
    pipeline: RestorePipeline,
    raw: RawScan | RadialScan,
    denoiser: Denoiser,
    card: PriorCard,
    options: RunOptions,
) -> PreparedScan:
    """Bring k-space to the prior's pixels, and undersample it if the pipeline says so.

    Nothing is interpolated.

    A field of view other than the prior's stays: the operator embeds the image in it.
    """
    verdict = check_scope(raw.scan, card.domain, resampled=options.resample)
    size = card.pixel_mm
    change = ""
    if options.resample and size is not None:
        change = _pixels_note(raw.scan.spacing, size)
        raw = raw.at(size)
    if isinstance(raw, RawScan) and pipeline.operator is not None:
        raw = undersampled(raw, _mask(pipeline.operator, raw))
        # The fingerprint of a run holds the mask already, as the operator of its pipeline.
        source = replace(raw.source, kept_sha256="")
        raw = replace(raw, scan=replace(raw.scan, source=source))
    if denoiser.in_shape[0] == 2:
        intensity = raw.intensity.of_complex()
        raw = replace(raw, scan=replace(raw.scan, intensity=intensity))
    model = _fit(raw.scan, denoiser, card, resample=False)
    if change:
        unchanged = model.placement.model.shape == raw.scan.shape
        model = replace(model, note=change if unchanged else f"{change}; {model.note}")
    slices = _choose(model, options.slices)
    return PreparedScan(raw.scan, raw, model, slices, denoiser, card, verdict)


def _pixels_note(spacing: Sequence[float], size: float) -> str:
    row, column = spacing[1], spacing[0]
    if np.allclose((row, column), size, rtol=0.02):
        return ""
    outer = "left out" if size > min(row, column) else "not measured"
    return (
        f"k-space of {row:.3g} x {column:.3g} mm pixels brought to {size:g} mm, outer frequencies "
        f"{outer}"
    )


def _mask(part: OperatorPart, raw: RawScan) -> Bool[np.ndarray, "row column"]:
    """Return the sampling mask of a pipeline on the field of view of k-space."""
    if part.mask is not None and part.mask.per_slice:
        raise ScanError(
            f"{raw.source.name}: raw k-space has one sampling mask for all slices; set "
            "per_slice: false in the mask."
        )
    channels = int(part.options.get("channels", 2))
    operator = build_operator(part, (channels, *raw.shape), ())
    assert isinstance(operator, MaskedFourier)  # as _check_operator requires
    return operator.mask.numpy()


def _fit(scan: Scan, denoiser: Denoiser, card: PriorCard, *, resample: bool) -> ModelSlices:
    rows, columns = denoiser.in_shape[-2:]
    return fit_to_model(
        scan,
        (rows, columns),
        voxel_size=card.pixel_mm,
        resample=resample,
        whole=card.of_windows,
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
