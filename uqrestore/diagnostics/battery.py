"""Battery of rank tests: eight statistics that detect a sampler with wrong uncertainty."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from uqrestore.diagnostics import statistics
from uqrestore.diagnostics.ranks import RankTest, holm, rank_test
from uqrestore.diagnostics.scenes import Scenes
from uqrestore.diagnostics.statistics import Pool, Statistic
from uqrestore.metrics._checks import check_level


@dataclass(frozen=True)
class Words:
    """Wording of a finding when the ranks of the truth are not uniform.

    Attributes:
        high: The truth's statistic lies above the draws'.
        low: It lies below.
        ends: It lies outside, on either side.
        middle: It lies in the middle too often.
    """

    high: str
    low: str
    ends: str
    middle: str

    def choose(self, test: RankTest) -> str:
        """Pick the words for the strongest lean of the ranks."""
        if abs(test.shift) >= abs(test.opening):
            return self.high if test.shift > 0 else self.low
        return self.ends if test.opening > 0 else self.middle


def _distance(near: str, far: str) -> Words:
    equal = "the draws' distances are too equal: at times the truth is far out, in a missing mode"
    return Words(far, near, equal, "the draws' distances differ too much from each other")


NARROW, WIDE = "the draws are too narrow", "the draws are too wide"
WORDS: Mapping[str, Words] = {
    "data fit": Words(
        "the draws follow the measurement too closely and fit its noise",
        "the draws explain the measurement worse than the truth does: they do not use it, or lack "
        "the correlations between pixels that it requires",
        "the draws explain the measurement with too equal misfits",
        "the draws explain the measurement with too different misfits",
    ),
    "region": Words(
        "the draws are too low in the region",
        "the draws are too high in the region",
        f"{NARROW} in the mean of the region",
        f"{WIDE} in the mean of the region",
    ),
    "component": Words(
        "the draws are shifted along component 1",
        "the draws are shifted along component 1",
        f"{NARROW} along component 1",
        f"{WIDE} along component 1",
    ),
    "spread": _distance(
        f"{WIDE}: the truth lies nearer to their mean than they do",
        f"{NARROW}: the truth lies farther from their mean than they do",
    ),
    "energy": _distance(
        f"{WIDE}: the truth lies nearer to the draws than they to each other",
        f"{NARROW}: the truth lies farther from the draws than they from each other",
    ),
    "reference": _distance(
        "the draws sit in the wrong place, too far from the linear estimate of the data",
        "the draws sit in the wrong place, too near to the linear estimate of the data",
    ),
    "roughness": Words(
        "neighbouring pixels of the draws vary together too much",
        "neighbouring pixels of the draws vary too independently of each other",
        "the texture of the draws varies too little",
        "the texture of the draws varies too much",
    ),
    "detail": Words(
        "the draws lack fine detail",
        "the draws have too much fine detail or noise",
        "the draws' fine detail varies too little",
        "the draws' fine detail varies too much",
    ),
}


@dataclass(frozen=True, eq=False)
class Finding:
    """Result of one statistic.

    Attributes:
        statistic: Its name.
        test: Ranks and p-value.
        p_corrected: P-value corrected for the number of statistics (Holm).
        words: What uneven ranks of this lean mean.
    """

    statistic: str
    test: RankTest
    p_corrected: float
    words: str


@dataclass(frozen=True, eq=False)
class Battery:
    """The verdict of all statistics together.

    Attributes:
        findings: One per statistic, the most striking first.
        level: False-alarm rate: probability of rejecting an ideal sampler.
        scenes: Number of scenes.
        draws: Draws per scene.
        people: Number of people they come from. Scenes of one person are not independent: with
            fewer people than scenes the verdict is about new scenes of these people.
    """

    findings: tuple[Finding, ...]
    level: float
    scenes: int
    draws: int
    people: int

    @property
    def p_value(self) -> float:
        """Headline p-value: the smallest corrected one."""
        return self.findings[0].p_corrected

    @property
    def passed(self) -> bool:
        """Whether no fault was found at this level; fewer scenes find fewer faults."""
        return self.p_value > self.level

    @property
    def verdict(self) -> str:
        """One sentence in words."""
        of = "" if self.people == self.scenes else f" of {self.people} people"
        count = f"{self.scenes} scenes{of}, {self.draws} draws each"
        if self.passed:
            return (
                f"No fault found by {len(self.findings)} tests at level {self.level:g} "
                f"({count}; smallest corrected p = {self.p_value:.2g})."
            )
        worst = self.findings[0]
        others = [f.statistic for f in self.findings[1:] if f.p_corrected <= self.level]
        also = f"; also caught by {', '.join(others)}" if others else ""
        p_value = f"p = {self.p_value:.2g}" if self.p_value > 1e-300 else "p < 1e-300"
        return (
            f"{worst.words[0].upper()}{worst.words[1:]} ({worst.statistic}, corrected "
            f"{p_value}, {count}){also}."
        )

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON and tables."""
        return {
            "verdict": self.verdict,
            "passed": self.passed,
            "p_value": self.p_value,
            "level": self.level,
            "scenes": self.scenes,
            "people": self.people,
            "draws": self.draws,
            "statistics": [
                {
                    "statistic": finding.statistic,
                    "p_value": finding.test.p_value,
                    "p_corrected": finding.p_corrected,
                    "shift": finding.test.shift,
                    "opening": finding.test.opening,
                    "words": finding.words,
                    "histogram": finding.test.histogram().tolist(),
                }
                for finding in self.findings
            ],
        }


def default_statistics(
    *,
    region: Bool[np.ndarray, "*image"] | None = None,
    directions: Float[np.ndarray, " scene *image"] | None = None,
) -> dict[str, Statistic]:
    """Return the eight statistics by name.

    Args:
        region: Where to take the mean; the whole image if left out.
        directions: Leading components that come from the measurements alone, such as NPPC's;
            left out, the leading component of truth and draws together.
    """
    return {
        "data fit": statistics.data_fit,
        "region": statistics.region(region),
        "component": (statistics.component if directions is None else statistics.along(directions)),
        "spread": statistics.spread,
        "energy": statistics.energy,
        "reference": statistics.reference,
        "roughness": statistics.roughness,
        "detail": statistics.detail,
    }


def run_battery(
    scenes: Scenes,
    chosen: Mapping[str, Statistic] | None = None,
    *,
    words: Mapping[str, Words] = WORDS,
    level: float = 0.01,
    seed: int = 0,
) -> Battery:
    """Rank tests (SBC, TARP and coverage as one) of the truth among the draws, by every statistic.

    No single statistic suffices: prior draws pass every test of single pixels, and draws with
    right pixels but no correlation pass coverage. See ``docs/maths-calibration.md``.

    Args:
        scenes: Truths and draws, with the measurements.
        chosen: Statistics by name; :func:`default_statistics` if left out. Add a functional of
            your own (the volume of a lesion, the mean of an organ) to these.
        words: What each statistic's ranks mean; a statistic without words gets plain ones.
        level: False-alarm rate over all statistics: probability of rejecting an ideal sampler.
        seed: Of tie-breaks and random references.

    Returns:
        Findings, the most striking first, and the verdict.

    Raises:
        ValueError: If ``level`` is no probability, or a statistic cannot be computed.
    """
    check_level("the level of the battery", level)
    chosen = default_statistics() if chosen is None else chosen
    if not chosen:
        raise ValueError("a battery needs at least one statistic.")
    pool = Pool.of(scenes, seed=seed)
    tests = {}
    for index, (name, statistic) in enumerate(chosen.items()):
        generator = np.random.default_rng([seed, 0, index])
        tests[name] = rank_test(statistic(pool), generator)
    corrected = holm(np.array([test.p_value for test in tests.values()]))
    findings = [
        Finding(name, test, float(p), words.get(name, _plain(name)).choose(test))
        for (name, test), p in zip(tests.items(), corrected, strict=True)
    ]
    findings.sort(key=lambda finding: finding.p_corrected)
    return Battery(tuple(findings), level, len(scenes), scenes.draw_count, scenes.people)


def _plain(name: str) -> Words:
    return Words(
        f"the draws are too low in {name}",
        f"the draws are too high in {name}",
        f"{NARROW} in {name}",
        f"{WIDE} in {name}",
    )
