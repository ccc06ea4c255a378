"""Guarantees for new scenes or people, valid within the scope of their calibration."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from uqrestore._shared.files import write_text
from uqrestore.conformal import widths as conformal
from uqrestore.conformal.bounds import BoundName
from uqrestore.conformal.scope import Scope, Setting

Method = Literal[
    "split_conformal", "crc", "rcps", "learn_then_test", "component_box", "region_means"
]
Unit = Literal["slice", "person"]
FORMAT = "uqrestore-guarantee-2"
INTERVAL_WIDTHS, BOX_WIDTHS = {"interval"}, {"component", "residual"}
Images = Float[np.ndarray, "*image"]


class OutOfScopeError(ValueError):
    """A scan outside the scope of a guarantee."""


@dataclass(frozen=True)
class Guarantee:
    """A conformal guarantee: its level, widths, calibration scenes and scope.

    Attributes:
        method: Method that chose the widths.
        alpha: Guaranteed probability of failure (split conformal, component box) or mean loss.
        delta: Probability that the calibration set was an unlucky one, for which the guarantee
            does not hold; None where it averages over calibration sets and new scenes.
        bound: Upper bound of the risk, for ``rcps``.
        share: Share of a scene's pixels that must lie inside, for ``split_conformal``.
        widths: Half-widths of the intervals in predicted standard deviations (``"interval"``), of
            the component box (``"component"``, ``"residual"``), or of each region by its name.
        components: Number of components of a box.
        keys: Hashes of the calibration scenes.
        unit: Exchangeable unit: ``"person"``, or ``"slice"`` where no person has two.
        units: Number of units.
        scope: Settings within which it holds.
    """

    method: Method
    alpha: float
    delta: float | None
    bound: BoundName | None
    share: float
    widths: Mapping[str, float]
    components: int
    keys: tuple[str, ...]
    unit: Unit
    units: int
    scope: Scope

    @property
    def scenes(self) -> int:
        """Number of calibration scenes."""
        return len(self.keys)

    @property
    def calibration_sha256(self) -> str:
        """One hash of the calibration set, whatever its order."""
        return hashlib.sha256("\n".join(sorted(self.keys)).encode()).hexdigest()

    @property
    def statement(self) -> str:
        """The guarantee in one or two sentences."""
        like = f"scenes like the {self.scenes} of the calibration"
        if self.unit == "person":
            like = f"people like the {self.units} of the calibration ({self.scenes} slices)"
        if self.method == "crc":
            return f"On average over {like}, at most {percent(self.alpha)} of pixels lie outside."
        if self.method in {"rcps", "learn_then_test"}:
            return (
                f"With {percent(1 - (self.delta or 0))} confidence over the calibration set, on "
                f"average at most {percent(self.alpha)} of the pixels of {like} lie outside."
            )
        if self.method == "region_means":
            return (
                f"Of {like}, at least {percent(1 - self.alpha)} have the true mean of a region "
                f"inside its interval, each of {len(self.widths)} regions by itself, on average "
                "over calibration sets and new people, if regions are drawn in the same way."
            )
        what = "all pixels" if self.share == 1 else f"at least {percent(self.share)} of pixels"
        if self.method == "component_box":
            what = f"all {self.components} components and the residual at once"
        where = " in every slice" if self.unit == "person" else ""
        if self.method == "component_box":
            return (
                f"Of {like}, at least {percent(1 - self.alpha)} have {what} inside{where}, on "
                f"average over calibration sets and new {_plural(self.unit)}."
            )
        low, high = conformal.coverage_range(self.units, self.alpha)
        return (
            f"Of {like}, at least {percent(1 - self.alpha)} have {what} inside{where}; for this "
            f"calibration set the share lies between {percent(low)} and {percent(high)} with "
            "90 % probability."
        )

    @property
    def size(self) -> str:
        """Size of the region in predicted standard deviations, as text."""
        if self.method == "component_box":
            return (
                f"box: mean -+ {self.widths['component']:.3g} posterior standard deviations along "
                f"each of {self.components} components at once, and {self.widths['residual']:.3g} "
                "times the predicted norm for all the rest"
            )
        if self.method == "region_means":
            widths = sorted(self.widths.values())
            return (
                f"intervals: mean -+ {widths[0]:.3g} to {widths[-1]:.3g} standard deviations of "
                f"the means of the draws, median {widths[len(widths) // 2]:.3g}"
            )
        return f"intervals: mean -+ {self.widths['interval']:.3g} posterior standard deviations"

    def check(self, setting: Setting) -> None:
        """Refuse a scan out of scope, or one of the calibration scenes.

        Raises:
            OutOfScopeError: With everything that differs from the calibration.
        """
        faults = self.scope.faults(setting)
        seen = sorted(set(setting.keys) & set(self.keys))
        if seen:
            faults.append(
                f"{len(seen)} of its {len(setting.keys)} scenes were calibrated on, such as "
                f"{seen[0]}"
            )
        if faults:
            raise OutOfScopeError(
                f"the guarantee does not hold for this scan: {'; '.join(faults)}. Calibrate with "
                "scenes of this kind, or restore without a guarantee."
            )

    def interval(self, centre: Images, scale: Images, setting: Setting) -> tuple[Images, Images]:
        """Return the ends of the guaranteed intervals of one scan.

        Args:
            centre: Calibrated map, such as the mean of draws, in the unit of the scope.
            scale: Its predicted standard deviation.
            setting: How the scan was measured and restored.

        Raises:
            OutOfScopeError: See :meth:`check`.
            ValueError: If the guarantee is about components, or shapes disagree.
        """
        self.check(setting)
        if "interval" not in self.widths:
            raise ValueError(f"a guarantee of {self.method} has no pixel intervals.")
        if centre.shape != scale.shape:
            raise ValueError(f"centre is {centre.shape} but scale {scale.shape}.")
        half = self.widths["interval"] * scale
        return centre - half, centre + half

    def to_json(self) -> str:
        """All fields, their SHA-256, and the statement for readers without this package."""
        data = asdict(self) | {
            "format": FORMAT,
            "statement": self.statement,
            "calibration_sha256": self.calibration_sha256,
            "scope": self.scope.to_data(),
        }
        return json.dumps(data | {"sha256": _content_sha256(data)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Guarantee":
        """Read a guarantee whose content has the hash that it names.

        Raises:
            ValueError: If it is not a guarantee of this format, was changed after the
                calibration, or holds a value that no calibration gives.
        """
        try:
            data: dict[str, Any] = json.loads(text)
        except RecursionError:
            raise ValueError("not a guarantee: JSON nested too deeply.") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(
                f"not a guarantee of this version: the format must be {FORMAT!r}; run "
                "'uqrestore calibrate' again."
            )
        if data.get("sha256") != _content_sha256(data):
            raise ValueError(
                "the guarantee does not fit its SHA-256: it was damaged, or changed after the "
                "calibration; run 'uqrestore calibrate' again."
            )
        _check_values(data)
        return cls(
            method=data["method"],
            alpha=data["alpha"],
            delta=data["delta"],
            bound=data["bound"],
            share=data["share"],
            widths=data["widths"],
            components=data["components"],
            keys=tuple(data["keys"]),
            unit=data["unit"],
            units=data["units"],
            scope=Scope.from_data(data["scope"]),
        )

    def save(self, path: Path) -> None:
        """Write the JSON to a file."""
        write_text(path, self.to_json() + "\n")

    @classmethod
    def load(cls, path: Path) -> "Guarantee":
        """Read a file.

        Raises:
            ValueError: Naming the file, if it is not a guarantee.
        """
        try:
            return cls.from_json(path.read_text())
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error


def percent(share: float) -> str:
    """A share as text, such as ``90 %``."""
    return f"{100 * share:.3g} %"


def _plural(unit: Unit) -> str:
    return "people" if unit == "person" else "scenes"


def _content_sha256(data: Mapping[str, Any]) -> str:
    """SHA-256 of everything in a guarantee but the hash itself, in canonical JSON."""
    content = {key: value for key, value in data.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check_values(data: Mapping[str, Any]) -> None:
    """Refuse values that no calibration gives: not finite, of another type, out of range."""
    box = data["method"] == "component_box"
    widths, regions = dict(data["widths"]), data["method"] == "region_means"
    names = BOX_WIDTHS if box else INTERVAL_WIDTHS
    good = {
        "method": data["method"] in get_args(Method),
        "alpha": _between(data["alpha"], 1.0),
        "delta": data["delta"] is None or _between(data["delta"], 1.0),
        "share": data["share"] == 1 or _between(data["share"], 1.0),
        "widths": (bool(widths) if regions else set(widths) == names)
        and all(_between(width, math.inf) for width in widths.values()),
        "components": type(data["components"]) is int and data["components"] >= box,
        "keys": all(isinstance(key, str) for key in data["keys"]),
        "unit": data["unit"] in get_args(Unit),
        "units": type(data["units"]) is int and 0 < data["units"] <= len(data["keys"]),
    }
    if wrong := [name for name, fine in good.items() if not fine]:
        values = ", ".join(f"{name} {data[name]!r:.60}" for name in wrong)
        raise ValueError(f"no calibration gives {values}; run 'uqrestore calibrate' again.")


def _between(value: object, high: float) -> bool:
    """Whether a value is a number above 0 and below ``high``."""
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < high
