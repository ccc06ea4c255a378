"""Header of a posterior file: what its attributes state, read without its arrays."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.integrity import intact
from uqrestore.posterior.open import read_noise, read_operator, read_placement, root_attributes
from uqrestore.scans import Intensity
from uqrestore.scans.placement import Placement

if TYPE_CHECKING:
    from uqrestore.noise import NoiseModel
    from uqrestore.operators import LinearOperator

NEWEST = 1
"""Newest schema of posterior files that this package knows."""


@dataclass(frozen=True, eq=False)
class PosteriorHeader:
    """What the attributes of a posterior file state.

    Args:
        path: The file.
        newer: Accept schemas newer than this package, for readers that say so to the user.

    Raises:
        PosteriorError: If the file is missing, malformed, no posterior file, or of a newer schema.
    """

    path: Path
    newer: bool = False

    def __post_init__(self) -> None:
        if self.schema > NEWEST and not self.newer:
            raise PosteriorError(
                f"{self.path}: has schema uqrestore-{self.schema} but this version reads "
                f"uqrestore-{NEWEST}; upgrade uqrestore."
            )

    @cached_property
    def root(self) -> Mapping[str, str]:
        """Attributes of the root, as text."""
        return {name: as_text(value) for name, value in root_attributes(self.path).items()}

    @property
    def schema(self) -> int:
        """Version of the file format."""
        found = re.search(r"uqrestore-(\d+)", self.root["Conventions"])
        return int(found[1]) if found else 0

    @property
    def status(self) -> str:
        """``"complete"`` or ``"partial"``."""
        return self.root.get("status", "unknown")

    @property
    def complete(self) -> bool:
        """True if the run that wrote the file has finished."""
        return self.status == "complete"

    @property
    def stem(self) -> str:
        """Name of the file without its suffixes."""
        return file_stem(self.path)

    @property
    def provenance(self) -> dict[str, Any]:
        """Pipeline, prior, scan and versions; empty if the file states none."""
        return self.attribute("provenance") or {}

    @property
    def scope(self) -> dict[str, Any] | None:
        """Verdict on whether the prior was trained for such scans; None if not stated."""
        return self.attribute("scope")

    @property
    def figures(self) -> dict[str, float]:
        """Summary figures of the scan, such as a PSNR."""
        return self.attribute("figures") or {}

    @property
    def psnr(self) -> dict[str, float]:
        """PSNR in dB by the name of the image, and its ``data_range``; empty without a truth."""
        start = "psnr_"
        return {k.removeprefix(start): v for k, v in self.figures.items() if k.startswith(start)}

    def attribute(self, name: str) -> dict[str, Any] | None:
        """Return a JSON attribute of the root, or None where it is not stated.

        Raises:
            PosteriorError: If it is not a JSON object.
        """
        return self.parsed(name, self.root[name]) if name in self.root else None

    @cached_property
    def intensity(self) -> Intensity:
        """Map between the file's units and those of the network.

        Raises:
            PosteriorError: If the file does not state it.
        """
        try:
            return Intensity(**self.provenance["intensity"])
        except (KeyError, TypeError, ValueError) as error:
            raise PosteriorError(
                f"{self.path}: does not state the intensity range of its prior; restore the scan "
                "again to have it."
            ) from error

    @cached_property
    def placement(self) -> Placement:
        """Where the slices lie, and the way to the grid of the scan's own file."""
        return read_placement(self.path)

    def require_sound(self) -> None:
        """Refuse a file that is not finished, or in which a byte has changed since.

        Raises:
            PosteriorError: Saying what to do.
        """
        if not self.complete:
            raise PosteriorError(
                f"{self.path}: is not finished; run the same command to resume it."
            )
        if intact(self.path) is False:
            raise PosteriorError(
                f"{self.path}: a byte has changed since it was written; `uqrestore inspect` says "
                "where. Take a sound copy, or make it again."
            )

    def operator(self) -> "LinearOperator":
        """Rebuild the measurement operator, a batch over slices where it differs between them.

        Raises:
            PosteriorError: If it is not linear.
        """
        from uqrestore.operators import LinearOperator

        operator = read_operator(self.path)
        if not isinstance(operator, LinearOperator):
            raise PosteriorError(
                f"{self.path}: its operator, {operator.name}, is not linear; "
                "uqrestore.posterior.read_operator rebuilds it."
            )
        return operator

    def noise_model(self) -> "NoiseModel | None":
        """Rebuild the noise model; None where it is Gaussian behind a linear operator."""
        from uqrestore.noise import NOISE_MODELS

        if self._noise is None:
            return None
        stated = self.parsed("noise_model", self._noise)
        kind = NOISE_MODELS.get(str(stated.pop("model", "")))
        if kind is None:
            raise PosteriorError(f"{self.path}: has noise that this version does not know.")
        return kind(**stated)

    @cached_property
    def _noise(self) -> str | None:
        return read_noise(self.path)

    def parsed(self, name: str, text: str) -> dict[str, Any]:
        """Return a JSON object; ``name`` is that of its attribute."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise PosteriorError(f"{self.path}: its attribute {name} is not readable.")
        return content


def file_stem(path: Path) -> str:
    """Return the name of a posterior file without its suffixes."""
    name = path.name.removesuffix(".part").removesuffix(".h5").removesuffix(".posterior")
    return name or "posterior"


def as_text(value: Any) -> str:  # noqa: ANN401  (attributes come as any type)
    """Return an attribute as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
