"""The kinds of pipeline: restore a scan, train a prior, compare methods."""

import itertools
from typing import Annotated, Literal

from pydantic import Field, model_validator

from uqrestore.pipeline.parts import (
    BaselinePart,
    BenchmarkMethodPart,
    MethodPart,
    NoisePart,
    OperatorPart,
    Pipeline,
    Prior,
    UnknownPart,
)
from uqrestore.training.config import TrainConfig
from uqrestore.zoo import locate

NoiseStd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]


class RestorePipeline(Pipeline):
    """Simulate an acquisition of a scan and draw images that explain it.

    Args:
        operator: Measurement of a slice; None for raw k-space, which is measured already.
        noise_std: Standard deviation of the measurement noise in network intensity, where an
            image spans about [-1, 1]; per real component where the data are complex. Of raw
            k-space it is measured. Behind an operator in units of its own, such as counts, it is
            in these.
        noise: Another noise model and its parameters, such as ``{model: poisson}`` or ``{model:
            rician, std: 0.05}``, in the units of ``noise_std``; instead of it.
        unknown: Parameters of the measurement that are drawn with the image, and their prior,
            such as ``{name: gain, relative_std: 0.1}``.
        linearise: Rounds after which a method for linear problems with Gaussian noise draws for
            any other: the first is linear about a plain image, each further one about the mean of a
            few draws of the round before; 2 is enough where the noise is small. 0 leaves the
            problem as it is.
        prior: Name of a prior of the zoo; the path of its weights from the current folder,
            with their card beside them; or ``{python: package.module:function}``, with options of
            a function that returns a prior, such as one of ``uqrestore.wrap``.
        predictor: A conditional network of the zoo, or its path, whose one call gives the
            posterior mean, and the components where it puts some out; None takes both from the
            draws.
        predictor_base: The network whose posterior mean the components of the predictor describe,
            for a predictor trained with ``components: {base: frozen}``; the mean is then its.
        method: How posterior samples are drawn.
        baseline: Name of a Gaussian prior of the zoo whose exact posterior mean, the linear
            MMSE estimate, is kept in the file for comparison.
        baselines: Conventional reconstructions whose images are kept in the file for comparison:
            ``zero_filled`` (always there), ``cg_sense``, ``l1_wavelet``, ``total_variation``,
            ``filtered_back_projection``; with options such as
            ``{name: l1_wavelet, weight: 0.003}``. Without a weight, it follows from the noise.
        refine_maps: Rounds in which the coil maps of raw k-space are estimated again from all
            samples, given draws of the image, where draws with the maps of the calibration lines
            miss the data; 0 leaves these maps. Maps that came with the scan stay as they are.
        draws: Posterior samples of a slice.
        axial_mm: Correlation length of the noise of neighbouring slices, so that a draw is
            coherent along the axis; 0 draws slices independently. The distribution of a single
            slice is the same.
        axial_share: Share of the noise's variance that is correlated; the rest is independent.
        seed: Seed of the samples and of the simulated noise.
        components: Principal components of the posterior to keep of a slice; 0, or at most two
            fewer than draws.
        component_scope: Find components of every slice, or of the volume as a whole, which wants
            draws that are coherent along the axis.
        batch_size: Images in one call of the prior. It never changes a result.
    """

    kind: Literal["restore"]
    operator: OperatorPart | None = None
    noise_std: NoiseStd = 0.0
    noise: NoisePart | None = None
    unknown: UnknownPart | None = None
    linearise: Annotated[int, Field(ge=0, le=10)] = 0
    prior: Prior
    predictor: str | None = None
    predictor_base: str | None = None
    method: MethodPart
    baseline: str | None = None
    baselines: tuple[BaselinePart, ...] = ()
    refine_maps: Annotated[int, Field(ge=0, le=100)] = 0
    draws: Annotated[int, Field(ge=2, le=2**31 - 1)] = 32
    axial_mm: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.0
    axial_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Seed = 0
    components: Annotated[int, Field(ge=0)] = 3
    component_scope: Literal["slice", "volume"] = "slice"
    batch_size: Count = 64

    @model_validator(mode="after")
    def _enough_draws_for_components(self) -> "RestorePipeline":
        # The last direction that draws span around their mean has no length to correct it by.
        if self.components and self.components + 2 > self.draws:
            raise ValueError(
                f"components: {self.components} needs draws: {self.components + 2} or more, "
                f"but draws is {self.draws}"
            )
        return self

    @model_validator(mode="after")
    def _one_noise(self) -> "RestorePipeline":
        if self.noise is not None and self.noise_std:
            raise ValueError("noise: is given beside noise_std; keep one of them")
        return self

    @model_validator(mode="after")
    def _one_baseline_of_a_name(self) -> "RestorePipeline":
        names = [part.name for part in self.baselines]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"baselines: {', '.join(sorted(twice))} is named twice; keep one")
        return self

    @model_validator(mode="after")
    def _base_of_a_predictor(self) -> "RestorePipeline":
        if self.predictor_base is not None and self.predictor is None:
            raise ValueError(
                "predictor_base: wants a predictor, whose components describe its error"
            )
        return self


class BenchmarkPipeline(Pipeline):
    """Compare methods on a scan whose truth is known, in one table.

    Every method meets every operator at every noise level, with the same prior, measurements
    and number of draws.

    Args:
        scan: Path of a scan from the current folder, or ``demo`` for the bundled one.
        slices: How many slices, spread evenly over those that show something; 2 or more.
        prior: Name of a prior of the zoo; the path of its weights from the current folder,
            with their card beside them; or ``{python: package.module:function}``, with options of
            a function that returns a prior, such as one of ``uqrestore.wrap``.
        operators: Operators, each under its label in the table.
        noise_std: Noise levels in network intensity.
        methods: Methods, each under its label in the table. A method with ``sweep:``, options
            with a list of values each, stands for one method for every combination of them. One
            with ``slices: 1`` is run on the first slice alone, after all others.
        draws: Posterior samples of a slice; 19 or more show the coverage of 90 % intervals.
        seed: Seed of the samples and of the simulated noise.
        precision: ``bf16`` runs the network under autocast; ``fp32`` does not.
        batch_size: Images in one call of the prior; whole slices.
    """

    kind: Literal["benchmark"]
    scan: str = "demo"
    slices: Annotated[int, Field(ge=2, le=2**31 - 1)] = 4
    prior: Prior
    operators: Annotated[dict[str, OperatorPart], Field(min_length=1)]
    noise_std: Annotated[tuple[NoiseStd, ...], Field(min_length=1)] = (0.0,)
    methods: Annotated[dict[str, BenchmarkMethodPart], Field(min_length=1)]
    draws: Annotated[int, Field(ge=2, le=2**31 - 1)] = 20
    seed: Seed = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_size: Count = 64

    @model_validator(mode="before")
    @classmethod
    def _spread_sweeps(cls, raw: object) -> object:
        methods = raw.get("methods") if isinstance(raw, dict) else None
        if not isinstance(raw, dict) or not isinstance(methods, dict):
            return raw
        spread: dict[str, object] = {}
        for label, part in methods.items():
            sweep = part.get("sweep") if isinstance(part, dict) else None
            if not isinstance(part, dict) or sweep is None:
                spread[label] = part
                continue
            if not isinstance(sweep, dict) or not all(isinstance(v, list) for v in sweep.values()):
                raise ValueError(f"methods.{label}.sweep: give each option a list of values")
            rest = {key: value for key, value in part.items() if key != "sweep"}
            for values in itertools.product(*sweep.values()):
                chosen = dict(zip(sweep, values, strict=True))
                names = [f"{option}={value}" for option, value in chosen.items()]
                spread[", ".join([label, *names])] = rest | chosen
        return raw | {"methods": spread}


class TrainPipeline(Pipeline, TrainConfig):
    """Train a prior; see ``training.config.TrainConfig`` for what its keys mean."""

    kind: Literal["train"]

    @property
    def config(self) -> TrainConfig:
        """Configuration of the run, without the title; ``start`` is the file of weights."""
        fields = self.model_dump(include=set(TrainConfig.model_fields))
        if self.start is not None:
            fields["start"] = str(locate(self.start))
        return TrainConfig.model_validate(fields)


KINDS: dict[str, type[Pipeline]] = {
    "restore": RestorePipeline,
    "train": TrainPipeline,
    "benchmark": BenchmarkPipeline,
}
