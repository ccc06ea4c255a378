"""Record of a restoration: its fingerprint, the plan of its file, its provenance."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore._shared.named import source_of
from uqrestore._shared.version import __version__
from uqrestore.conformal.scope import Setting
from uqrestore.diagnostics.scenes import scene_keys
from uqrestore.networks.weights import sha256
from uqrestore.noise import Coherence
from uqrestore.pipeline import PriorPart, RestorePipeline
from uqrestore.posterior import PosteriorPlan
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.posterior.general_acquisition import GeneralAcquisition
from uqrestore.restoration.draw import planned
from uqrestore.restoration.options import RunOptions, Slices
from uqrestore.restoration.prepare import PreparedScan
from uqrestore.restoration.prior_cache import weights_of, without_folders
from uqrestore.scans import Verdict

Images = Float[np.ndarray, "slice channel row column"]


@dataclass(frozen=True, eq=False)
class Restoration:
    """All that decides the numbers of one run.

    Attributes:
        pipeline: Operator, prior, method and draws.
        options: Options of the run.
        prepared: Slices of the scan on the grid of the prior.
        acquisition: Their measurement.
        verdict: Whether scan and measurement are of the kind the networks were trained on.
        reference: Images to compare with, in file units: truth, zero_filled, linear_mmse,
            baselines.
        baselines: Options that each baseline was computed with, its weight among them.
    """

    pipeline: RestorePipeline
    options: RunOptions
    prepared: PreparedScan
    acquisition: Acquisition | GeneralAcquisition
    verdict: Verdict
    reference: Mapping[str, Images]
    baselines: Mapping[str, Mapping[str, Any]]

    @property
    def coherence(self) -> Coherence:
        """Correlation of the noise of neighbouring slices."""
        spacing = self.prepared.scan.spacing[2]
        return Coherence(self.pipeline.axial_mm / spacing, self.pipeline.axial_share)

    @property
    def fingerprint(self) -> str:
        """Name of the run; see :func:`fingerprint`."""
        return fingerprint(
            self.pipeline,
            self.prepared.scan.identity,
            slices=self.options.slices,
            resample=self.options.resample,
        )

    @property
    def noise_std(self) -> float:
        """Noise in network units: the pipeline's, or that of raw k-space."""
        if self.prepared.kspace is None:
            return self.pipeline.noise_std
        return self.acquisition.intensity.std_to_network(self.acquisition.noise_std)

    @property
    def setting(self) -> Setting:
        """Measurement and sampler, as a guarantee is bound to them."""
        pipeline, prepared, truth = self.pipeline, self.prepared, self.prepared.truth
        keys: tuple[str, ...] = ()
        if truth is not None:
            keys = scene_keys(prepared.scan.intensity.to_network(truth).astype(np.float32))
        columns, rows, _ = prepared.model.placement.model.spacing
        operator = pipeline.operator
        return Setting.of(
            operator=self.acquisition.operator.name,
            prior=weights_of(pipeline)["prior"],
            method=pipeline.method.model_dump(mode="json"),
            measurement=None if operator is None else operator.model_dump(mode="json"),
            noise_std=self.noise_std,
            draws=pipeline.draws,
            pixel_mm=(rows, columns),
            keys=keys,
        )

    def plan(self) -> PosteriorPlan:
        """Return what the file will hold."""
        pipeline, prepared, acquisition = self.pipeline, self.prepared, self.acquisition
        operator = acquisition.operator
        about = planned(acquisition, pipeline.method.name)
        about["stats"] += ("products",)
        return PosteriorPlan(
            placement=prepared.model.placement,
            slices=prepared.slices,
            draws=pipeline.draws,
            channels=operator.in_shape[0],
            unit=prepared.scan.intensity.unit,
            seed=pipeline.seed,
            fingerprint=self.fingerprint,
            operator=(operator.name, *operator.to_data()),
            y=(acquisition.axes, acquisition.y.numpy()),
            observed=_observed(acquisition),
            noise_std=acquisition.noise_std,
            mask=prepared.mask,
            reference=self.reference,
            scope=self.verdict.to_data(),
            provenance=self._provenance(),
            title=pipeline.title,
            **about,
        )

    def _provenance(self) -> dict[str, Any]:
        """Return how to make the file again; nothing here names a person or a machine."""
        source, pipeline = self.prepared.scan.source, self.pipeline
        weights = weights_of(pipeline)
        return {
            "pipeline": without_folders(pipeline).model_dump(mode="json")
            | {"noise_std": self.noise_std},
            "pipeline_sha256": pipeline.sha256,
            **{key: {"name": name, "sha256": digest} for key, (name, digest) in weights.items()},
            **({"baselines": dict(self.baselines)} if self.baselines else {}),
            **({"code": code} if (code := code_of(pipeline)) else {}),
            "scan": {
                "name": source.name,
                "sha256": source.sha256,
                "key": self.prepared.scan.key,
                "tags": dict(source.tags),
                "note": source.note,
            },
            "intensity": self.prepared.scan.intensity.to_data(),
            "grid": self.prepared.note,
            "options": self._options(),
            "acquisition": _origin(pipeline, self.prepared),
            "random_streams": (
                "one per (seed, scan, slice, sample); see uqrestore.noise.SampleNoise"
            ),
            "device": self.options.device,
            "dtype": "float32",
        }

    def _options(self) -> dict[str, Any]:
        """Return the options of the run that decide what the file holds."""
        options, source = self.options, self.prepared.scan.source
        return {
            "slices": options.slices if isinstance(options.slices, int) else None,
            "indices": None if options.slices is None else list(self.prepared.slices),
            "resample": options.resample,
            "mask_sha256": source.mask_sha256 or None,
            "reference_sha256": source.reference_sha256 or None,
            "volume": source.volume,
            "allow_gaps": options.allow_gaps,
            "keep": options.storage.keep,
            "bits": options.storage.keepbits,
        }


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
        slices: Slices of the run, as in :class:`RunOptions`.
        resample: Resampling of the run, as in :class:`RunOptions`.
    """
    chosen = slices if slices is None or isinstance(slices, int) else sorted(set(slices))
    weights = weights_of(pipeline)
    facts = {
        "version": __version__.split(".")[0],
        "pipeline": without_folders(pipeline).sha256,
        "weights": {key: digest for key, (_, digest) in weights.items()},
        "scan": scan,
        "slices": chosen,
        "resample": resample,
    }
    if code := code_of(pipeline):
        facts["code"] = code
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _origin(pipeline: RestorePipeline, prepared: PreparedScan) -> str:
    if prepared.kspace is None:
        return "simulated from the magnitude image of the scan"
    return "as measured" if pipeline.operator is None else "as measured, then undersampled"


def code_of(pipeline: RestorePipeline) -> dict[str, str]:
    """Return the SHA-256 of every module of the user that a pipeline imports from, by name."""
    operator = pipeline.operator
    names = [pipeline.method.name]
    if isinstance(pipeline.prior, PriorPart):
        names.append(pipeline.prior.name)
    if operator is not None:
        names += [operator.name, *([] if operator.mask is None else [operator.mask.law])]
    sources = {name: source_of(name) for name in names}
    return {name: sha256(path) for name, path in sources.items() if path is not None}


def _observed(
    acquisition: Acquisition | GeneralAcquisition,
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return the matrix back to the coils of the scanner, where ``y`` holds combined ones."""
    mixing = acquisition.coil_mixing
    if mixing is None:
        return {}
    parts = np.stack([np.real(mixing), np.imag(mixing)]).astype(np.float32)
    return {"coil_mixing": (("ri", "scanner_coil", "coil"), parts)}
