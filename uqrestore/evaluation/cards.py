"""The calibration card of a method: its measured bias, and the band that tests hold it to."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from uqrestore.evaluation.bench import OPERATORS, Score, measure

MARGIN = {"mean_error": 0.25, "variance_ratio": 0.15}
"""How far a later measurement of a small case may lie from the card."""


def make_card(
    name: str,
    method: Callable[..., Tensor],
    *,
    noise_std: tuple[float, ...] = (0.0,),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    truths: int = 8,
    draws: int = 64,
) -> dict[str, Any]:
    """Measure a method on every operator of the bench.

    Args:
        name: Name of the method.
        method: The method.
        noise_std: Measurement noise levels, in network units.
        options: Named sets of options, such as presets; the method's defaults if None.
        truths: Images an operator.
        draws: Posterior samples an image.

    Returns:
        Plain values for JSON.
    """
    rows = []
    for label, said in (options or {"defaults": {}}).items():
        for operator in OPERATORS:
            for level in noise_std:
                score = measure(
                    method, operator, noise_std=level, truths=truths, draws=draws, **said
                )
                rows.append(
                    {
                        "variant": label,
                        "options": dict(said),
                        "operator": operator,
                        "noise_std": level,
                        **{key: round(value, 5) for key, value in asdict(score).items()},
                    }
                )
    return {
        "method": name,
        "problem": "Gaussian field 16 x 16, std 0.5, power (1 + f^2)^-1.75, with its own denoiser",
        "truths": truths,
        "draws": draws,
        "margin": MARGIN,
        "measured": rows,
    }


def verdict(card: Mapping[str, Any]) -> str:
    """Say in words what a card says in numbers."""
    ratios = [row["variance_ratio"] for row in card["measured"]]
    errors = [row["mean_error"] / row["mean_error_floor"] for row in card["measured"]]
    low, high = min(ratios), max(ratios)
    return (
        f"{card['method']}: variance {low:.2f} to {high:.2f} of the exact posterior's, mean "
        f"{min(errors):.1f} to {max(errors):.1f} times the error of exact draws, on Gaussian "
        "fields with their own denoiser."
    )


def fits(score: Score, row: Mapping[str, Any], margin: Mapping[str, float] = MARGIN) -> bool:
    """Whether a fresh measurement lies within the band of a card's row."""
    return (
        abs(score.mean_error - row["mean_error"]) <= margin["mean_error"]
        and abs(score.variance_ratio - row["variance_ratio"]) <= margin["variance_ratio"]
        and score.calls == row["calls"]
    )


def write_card(card: Mapping[str, Any], cards: Path, pages: Path | None = None) -> Path:
    """Write a card as JSON, and as a page for people."""
    path = cards / f"{card['method']}.json"
    path.write_text(json.dumps(card, indent=1) + "\n")
    if pages is not None:
        (pages / f"{card['method']}.md").write_text(as_page(card))
    return path


def as_page(card: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    head = "| variant | operator | noise | calls | mean error (floor) | variance | 90 % covers |"
    lines = [
        f"# {card['method']}",
        "",
        verdict(card),
        "",
        f"{card['problem']}; {card['truths']} truths x {card['draws']} draws an operator. The mean "
        "error is in posterior standard deviations; its floor is what exact draws would get. A "
        "variance of 1 is right.",
        "",
        head,
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['variant']} | {row['operator']} | {row['noise_std']:g} | {row['calls']} | "
        f"{row['mean_error']:.3f} ({row['mean_error_floor']:.3f}) | {row['variance_ratio']:.3f} | "
        f"{100 * row['coverage_90']:.1f} % |"
        for row in card["measured"]
    ]
    return "\n".join(lines) + "\n"
