"""A promise about new scenes, bound to the calibration it rests on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from uqrestore._files import write_text
from uqrestore.conformal import widths as conformal
from uqrestore.conformal.bounds import BoundName
from uqrestore.conformal.predictions import Predictions
from uqrestore.conformal.scope import Scope, Setting
from uqrestore.conformal.widths import WIDTHS
from uqrestore.metrics._checks import check_level

Method = Literal["split_conformal", "crc", "rcps", "learn_then_test", "component_box"]
FORMAT = "uqrestore-guarantee-1"
Images = Float[np.ndarray, "*image"]


class OutOfScopeError(ValueError):
    """A guarantee was asked about a scan that its calibration says nothing about."""


@dataclass(frozen=True)
class Guarantee:
    """What was promised, with what widths, from which scenes, for which settings.

    Attributes:
        method: How the widths were chosen.
        alpha: Probability (split conformal, component box) or mean loss that is promised.
        delta: Probability of a calibration set that breaks the promise; None where the promise
            is over calibration sets and scenes together.
        bound: Of the risk, for ``rcps``.
        share: Share of a scene's pixels that must lie inside, for ``split_conformal``.
        widths: Of the intervals in predicted standard deviations (``"interval"``), or of the
            component box (``"component"``, ``"residual"``).
        components: Number of components of a box.
        keys: Hashes of the calibration scenes.
        scope: Settings it holds for.
    """

    method: Method
    alpha: float
    delta: float | None
    bound: BoundName | None
    share: float
    widths: Mapping[str, float]
    components: int
    keys: tuple[str, ...]
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
        """The promise in one or two sentences."""
        like = f"scenes like the {self.scenes} of the calibration"
        if self.method == "crc":
            return f"On average over {like}, at most {_percent(self.alpha)} of pixels lie outside."
        if self.method in {"rcps", "learn_then_test"}:
            return (
                f"With {_percent(1 - (self.delta or 0))} confidence over the calibration set, on "
                f"average at most {_percent(self.alpha)} of the pixels of {like} lie outside."
            )
        what = "all pixels" if self.share == 1 else f"at least {_percent(self.share)} of pixels"
        if self.method == "component_box":
            what = f"all {self.components} components and the residual at once"
            return (
                f"Of {like}, at least {_percent(1 - self.alpha)} have {what} inside; the promise "
                "is over calibration sets and scenes together."
            )
        low, high = conformal.coverage_range(self.scenes, self.alpha)
        return (
            f"Of {like}, at least {_percent(1 - self.alpha)} have {what} inside; for this "
            f"calibration set the share lies between {_percent(low)} and {_percent(high)} with "
            "90 % probability."
        )

    @property
    def size(self) -> str:
        """How large the region is, in predicted standard deviations, in words."""
        if self.method == "component_box":
            return (
                f"box: mean -+ {self.widths['component']:.3g} posterior standard deviations along "
                f"each of {self.components} components at once, and {self.widths['residual']:.3g} "
                "times the predicted norm for all the rest"
            )
        return f"intervals: mean -+ {self.widths['interval']:.3g} posterior standard deviations"

    def check(self, setting: Setting) -> None:
        """Refuse to speak about a scan out of scope, or one of the calibration scenes.

        Raises:
            OutOfScopeError: With everything that is different, in words.
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
            centre: The map that was calibrated (mean of draws, say), in the unit of the scope.
            scale: Its predicted standard deviation.
            setting: How the scan was measured and restored.

        Raises:
            OutOfScopeError: See :meth:`check`.
            ValueError: If the guarantee is about components, or shapes disagree.
        """
        self.check(setting)
        if "interval" not in self.widths:
            raise ValueError("a component box has no pixel intervals; use component_box.")
        if centre.shape != scale.shape:
            raise ValueError(f"centre is {centre.shape} but scale {scale.shape}.")
        half = self.widths["interval"] * scale
        return centre - half, centre + half

    def to_json(self) -> str:
        """Write everything, with the statement for readers without this package."""
        data = asdict(self) | {
            "format": FORMAT,
            "statement": self.statement,
            "calibration_sha256": self.calibration_sha256,
            "scope": self.scope.to_data(),
        }
        return json.dumps(data, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Guarantee":
        """Read a guarantee and check that its calibration set is the one it names.

        Raises:
            ValueError: If it is not a guarantee of this format, or was changed by hand.
        """
        data: dict[str, Any] = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"not a guarantee: the format must be {FORMAT!r}.")
        guarantee = cls(
            method=data["method"],
            alpha=data["alpha"],
            delta=data["delta"],
            bound=data["bound"],
            share=data["share"],
            widths=data["widths"],
            components=data["components"],
            keys=tuple(data["keys"]),
            scope=Scope.from_data(data["scope"]),
        )
        if guarantee.calibration_sha256 != data.get("calibration_sha256"):
            raise ValueError(
                "the guarantee's list of calibration scenes does not fit its hash; it was changed "
                "after calibration and promises nothing."
            )
        return guarantee

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


def calibrate(
    predictions: Predictions,
    settings: Sequence[Setting],
    *,
    method: Literal["split_conformal", "crc", "rcps", "learn_then_test"] = "rcps",
    alpha: float = 0.1,
    delta: float = 0.1,
    share: float = 1.0,
    bound: BoundName = "wsr",
) -> Guarantee:
    """Choose the width of pixel intervals from scenes with known truth.

    Args:
        predictions: Centre, scale and truth of the calibration scenes.
        settings: How they were measured and restored; at least one.
        method: ``"split_conformal"``: a share of pixels at once; ``"crc"``: mean share of
            missed pixels, over calibration sets too; ``"rcps"``: the same, with confidence;
            ``"learn_then_test"``: as that, by testing one width after the other from the widest
            on, which asks nothing of the losses of wider intervals.
        alpha: Probability of failing, or share of missed pixels.
        delta: For ``rcps`` and ``learn_then_test``, the probability of an unlucky calibration
            set.
        share: For ``split_conformal``, the share of pixels that must be inside.
        bound: For ``rcps``.

    Raises:
        ValueError: If the scenes cannot support the promise, saying how many can; or a scene
            appears twice.
    """
    check_scenes_differ(predictions.keys)
    check_level("alpha", alpha)
    if method == "split_conformal":
        width = conformal.split_conformal(predictions.scores(share=share), alpha)
    elif method == "crc":
        width = conformal.conformal_risk_control(predictions.misses(WIDTHS), WIDTHS, alpha)
    elif method == "learn_then_test":
        order = range(len(WIDTHS) - 1, -1, -1)
        safe = conformal.learn_then_test(predictions.misses(WIDTHS), alpha, delta, order=order)
        if not safe:
            raise ValueError(
                f"even intervals of {WIDTHS[-1]:g} predicted standard deviations miss too many "
                f"pixels to promise {_percent(alpha)}; the sampler is far too sure of itself."
            )
        width = float(WIDTHS[safe[-1]])
    else:
        losses = predictions.misses(WIDTHS)
        width = conformal.control_risk(losses, WIDTHS, alpha, delta, bound=bound)
    return Guarantee(
        method=method,
        alpha=alpha,
        delta=delta if method in {"rcps", "learn_then_test"} else None,
        bound=bound if method == "rcps" else None,
        share=share if method == "split_conformal" else 1.0,
        widths={"interval": width},
        components=0,
        keys=predictions.keys,
        scope=Scope.covering(settings),
    )


def check_scenes_differ(keys: Sequence[str]) -> None:
    """Raise if a calibration counts a scene twice.

    Raises:
        ValueError: If a hash appears twice.
    """
    if len(set(keys)) < len(keys):
        raise ValueError(
            f"{len(keys) - len(set(keys))} of {len(keys)} calibration scenes are copies of "
            "others; copies are not independent evidence. Remove them."
        )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
