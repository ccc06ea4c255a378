"""The parts that pipeline files are made of: frozen models, data and never code."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

# What a pipeline says about itself or about speed, and what therefore changes no result.
_SAYS_NOTHING_OF_RESULTS = {"title", "description", "batch_size"}


class Model(BaseModel):
    """A part of a pipeline file: no unknown keys, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(Model):
    """Something chosen by name, with options of its own written beside the name.

    ``{name: ddnm, steps: 50}`` in the file is ``name="ddnm", options={"steps": 50}`` here.
    ``registries.check_names`` holds the options against what the named thing accepts.
    """

    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, raw: object) -> object:
        if not isinstance(raw, dict) or "options" in raw:
            return raw
        own = {key: value for key, value in raw.items() if key in cls.model_fields}
        return own | {"options": {key: raw[key] for key in raw if key not in own}}


class MaskPart(Part):
    """How the pattern of an operator is drawn: a law of ``operators/masks.py`` and its options.

    Args:
        law: Name of the law, such as ``cartesian``.
        seed: Seed of the pattern; apart from the seed of the posterior samples, so that new
            samples keep the same acquisition.
        per_slice: Draw a new pattern for every slice, else one serves the whole scan.
    """

    law: str
    seed: Annotated[int, Field(ge=0)] = 0
    per_slice: bool = False


class OperatorPart(Part):
    """An operator, and the law its mask is drawn from where it has one."""

    name: str
    mask: MaskPart | None = None


class MethodPart(Part):
    """A restoration method."""

    name: str


class BenchmarkMethodPart(MethodPart):
    """A method of a benchmark.

    Args:
        slices: Only the first so many of the benchmark's slices, for what is too dear for all.
    """

    slices: Annotated[int, Field(ge=1)] | None = None


class Pipeline(Model):
    """What every kind of pipeline says about itself."""

    title: str
    description: str = ""

    @property
    def sha256(self) -> str:
        """Hash of all that can change a result; titles and batch sizes cannot."""
        said = self.model_dump(mode="json", exclude=_SAYS_NOTHING_OF_RESULTS)
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
