"""Parts of pipeline files: frozen models of plain data.

Only ``python: package.module:name`` makes a pipeline run code: that of an installed module.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from uqrestore._shared.named import is_import, name_by_import

# Fields that describe a pipeline or its speed and therefore change no result.
_NOT_IN_RESULTS = {"title", "description", "batch_size"}
# Keys that count once they are set, so that pipelines without them keep the hash they had.
_WHERE_SET = {"baselines", "refine_maps", "noise", "linearise", "unknown"}


class Model(BaseModel):
    """A part of a pipeline file: no unknown keys, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(Model):
    """Something chosen by name, with options of its own written beside the name.

    ``{name: ddnm, steps: 50}`` in the file is ``name="ddnm", options={"steps": 50}`` here, and
    ``{python: own:method}`` is ``name="own:method"``. ``check_names`` compares the options with
    what the named thing accepts.
    """

    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, raw: object) -> object:
        if not isinstance(raw, dict) or "options" in raw:
            return raw
        raw = name_by_import(raw, "law" if "law" in cls.model_fields else "name")
        own = {key: value for key, value in raw.items() if key in cls.model_fields}
        return own | {"options": {key: raw[key] for key in raw if key not in own}}


class MaskPart(Part):
    """Mask pattern of an operator: a function of ``operators/masks.py`` and its options.

    Args:
        law: Name of the pattern, such as ``cartesian``.
        seed: Seed of the pattern; apart from the seed of the posterior samples, so that new
            samples keep the same acquisition.
        per_slice: Draw a new pattern for every slice, else one serves the whole scan.
    """

    law: str
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    per_slice: bool = False


class OperatorPart(Part):
    """An operator, and the pattern of its mask if it has one."""

    name: str
    mask: MaskPart | None = None


class NoisePart(Part):
    """Noise that is not Gaussian, or not known: a noise model and its parameters.

    Args:
        model: Name of the model, such as ``poisson``.
    """

    model: str


class UnknownPart(Part):
    """Parameters of the measurement that are drawn with the image: which, and their prior."""

    name: str


class MethodPart(Part):
    """A restoration method."""

    name: str


class BaselinePart(Part):
    """A conventional reconstruction; a name alone stands for one without options."""

    name: str

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, raw: object) -> object:
        return {"name": raw} if isinstance(raw, str) else raw


class PriorPart(Part):
    """A prior that a function of the user returns: ``{python: own:prior}`` and its options."""

    name: str


def read_prior(raw: object) -> object:
    """Return a prior of a file, a name or a mapping with ``python``, as a name or a part."""
    if isinstance(raw, str | PriorPart):
        return raw
    if isinstance(raw, Mapping) and {"python", "name"} & set(raw):
        part = PriorPart.model_validate(raw)
        if is_import(part.name):
            return part
    raise ValueError("write the name of a prior, or {python: package.module:name}")


Prior = Annotated[str | PriorPart, BeforeValidator(read_prior)]
"""A name or path of weights, or a function of the user."""


class BenchmarkMethodPart(MethodPart):
    """A method of a benchmark.

    Args:
        slices: Number of the benchmark's slices, the first ones, for an expensive method.
    """

    slices: Annotated[int, Field(ge=1)] | None = None


class Pipeline(Model):
    """Title, description and hash of every kind of pipeline."""

    title: str
    description: str = ""

    @property
    def sha256(self) -> str:
        """Hash of all that can change a result; titles and batch sizes cannot."""
        unset = {key for key in _WHERE_SET if not getattr(self, key, None)}
        fields = self.model_dump(mode="json", exclude=_NOT_IN_RESULTS | unset)
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
