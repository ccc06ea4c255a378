"""The calibration card of a method: its measured bias, and the band that tests hold it to."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.card_plans import Variant
from uqrestore.benchmarks.exact import (
    OPERATORS,
    Method,
    Score,
    exact_draws,
    measure,
    prior_draws,
)

MARGIN = {"mean_error": 0.25, "variance_ratio": 0.15}
"""How far a later measurement of a small case may lie from the card; a share above 1."""

Card = Mapping[str, Any]


def make_card(
    name: str,
    method: Method,
    variants: Mapping[str, Variant],
    *,
    operators: Sequence[str] = tuple(OPERATORS),
    truths: int = 8,
    draws: int = 64,
    known: Card | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure a method on every operator of the bench.

    Args:
        name: Name of the method.
        method: The method.
        variants: Named sets of options and noise levels, such as ``card_plans.PLANS[name]``.
        operators: Names of ``bench.OPERATORS``.
        truths: Images an operator.
        draws: Posterior samples an image.
        known: A card of which rows of the same options and size are taken over.
        keep: Called with the card after each row, to write it.
        progress: Called with rows done and rows in all.

    Returns:
        Plain values for JSON: one row a variant, operator and noise level, and beside them what
        exact draws and draws of the prior get on the same problems.
    """
    size = {"truths": truths, "draws": draws}
    plan = [
        {
            "variant": label,
            "options": dict(variant.options),
            "operator": operator,
            "noise_std": level,
        }
        for label, variant in variants.items()
        for operator in operators
        for level in variant.levels(operator)
    ]
    same = known is not None and all(known[key] == value for key, value in size.items())
    rows = [
        _row_of(case, known["measured"]) if known is not None and same else None for case in plan
    ]
    references = [*known["references"]] if known is not None and same else []

    def card() -> dict[str, Any]:
        wanted = {(case["operator"], case["noise_std"]) for case in plan}
        return {
            "method": name,
            "problem": "Gaussian field 16 x 16, std 0.5, power (1 + f^2)^-1.75, with its own "
            "denoiser",
            **size,
            "margin": MARGIN,
            "measured": [row for row in rows if row is not None],
            "references": [r for r in references if (r["operator"], r["noise_std"]) in wanted],
        }

    for at, case in enumerate(plan):
        operator, level = case["operator"], case["noise_std"]
        where = {"operator": operator, "noise_std": level}
        if _row_of(where, references) is None:
            references.append({**where, **_references(operator, level, truths, draws)})
        if rows[at] is None:
            score = measure(method, operator, noise_std=level, **size, **case["options"])
            rows[at] = {**case, **_plain(score)}
            if keep is not None:
                keep(card())
        if progress is not None:
            progress(at + 1, len(plan))
    return card()


def _row_of(case: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the row that says what ``case`` says."""
    return next((row for row in rows if {key: row[key] for key in case} == case), None)


def verdict(card: Card) -> str:
    """Say in words what a card says in numbers, of the method's defaults."""
    rows = [row for row in card["measured"] if row["variant"] == card["measured"][0]["variant"]]
    ratios = [row["variance_ratio"] for row in rows]
    errors = [row["mean_error"] / row["mean_error_floor"] for row in rows]
    low, high = min(ratios), max(ratios)
    return (
        f"{card['method']}: variance {low:.2f} to {high:.2f} of the exact posterior's, mean "
        f"{min(errors):.1f} to {max(errors):.1f} times the error of exact draws, on Gaussian "
        "fields with their own denoiser."
    )


def fits(score: Score, row: Mapping[str, Any], margin: Mapping[str, float] = MARGIN) -> bool:
    """Whether a fresh measurement lies within the band of a card's row."""
    within = [
        abs(getattr(score, name) - row[name]) <= allowed * max(1.0, row[name])
        for name, allowed in margin.items()
    ]
    return all(within) and (score.calls, score.products) == (row["calls"], row["products"])


def write_card(card: Card, cards: Path, pages: Path | None = None) -> Path:
    """Write a card as JSON, and as a page for people."""
    path = cards / f"{card['method']}.json"
    path.write_text(json.dumps(card, indent=1) + "\n")
    if pages is not None:
        (pages / f"{card['method']}.md").write_text(as_page(card))
    return path


def load_cards(cards: Path) -> list[Card]:
    """Read all cards of a folder, by the name of the method."""
    return [json.loads(path.read_text()) for path in sorted(cards.glob("*.json"))]


def as_page(card: Card) -> str:
    """Return the card as Markdown."""
    exact = {(r["operator"], r["noise_std"]): r["exact"] for r in card["references"]}
    head = (
        "| variant | operator | noise | calls + products | mean error (exact) | variance (exact) "
        "| covers 50 / 90 / 95 % | residual ratio | captured (exact) | sliced W1 (exact, prior) |"
    )
    prior = {(r["operator"], r["noise_std"]): r["prior"] for r in card["references"]}
    lines = [
        f"# {card['method']}",
        "",
        verdict(card),
        "",
        f"{card['problem']}; {card['truths']} truths x {card['draws']} draws an operator. Mean "
        "error: in posterior standard deviations along the principal directions. Variance: of the "
        "draws over the posterior's, in total; 1 is right. Residual ratio: of the draws over the "
        "noise; 1 is right. Captured: posterior variance along the draws' five leading "
        "components, of the most that five can. In brackets: exact draws on the same problems.",
        "",
        head,
        "|" + "---|" * (head.count("|") - 1),
    ]
    for row in card["measured"]:
        key = row["operator"], row["noise_std"]
        cover = " / ".join(f"{100 * row[f'coverage_{level}']:.0f}" for level in (50, 90, 95))
        cells = [
            row["variant"],
            row["operator"],
            f"{row['noise_std']:g}",
            f"{row['calls']} + {row['products']}",
            f"{row['mean_error']:.3f} ({exact[key]['mean_error']:.3f})",
            f"{row['variance_ratio']:.3f} ({exact[key]['variance_ratio']:.3f})",
            cover,
            f"{row['residual_ratio']:.2f}" if row["noise_std"] else f"{row['residual']:.0e}",
            f"{row['captured']:.2f} ({exact[key]['captured']:.2f})",
            f"{row['sliced']:.3f} ({exact[key]['sliced']:.3f}, {prior[key]['sliced']:.3f})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *_mixture_lines(card.get("mixtures", []))]) + "\n"


def summary_page(cards: Sequence[Card]) -> str:
    """Return one Markdown table over all methods: worst and best case of each variant."""
    lines = [
        "# Calibration of the methods",
        "",
        "Range over the operators and noise levels of each card, on Gaussian fields with their own "
        "denoiser: what the algorithm itself gets wrong, apart from the network. Mean error is a "
        "multiple of what exact draws get; variance is relative to the exact posterior's; calls "
        "count a vector-Jacobian product as two.",
        "",
        "| method | variant | noise | calls | mean error | variance | covers 90 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for card in sorted(cards, key=lambda card: card["method"]):
        variants = dict.fromkeys(row["variant"] for row in card["measured"])
        for variant in variants:
            rows = [row for row in card["measured"] if row["variant"] == variant]
            levels = ", ".join(
                f"{level:g}" for level in dict.fromkeys(r["noise_std"] for r in rows)
            )
            calls = max(row["calls"] + 2 * row["products"] for row in rows)
            error = [row["mean_error"] / row["mean_error_floor"] for row in rows]
            cells = [f"[{card['method']}]({card['method']}.md)", variant, levels, str(calls)]
            cells.append(f"{min(error):.2f} to {max(error):.2f}")
            cells.append(_range([row["variance_ratio"] for row in rows], "{:.2f}"))
            cells.append(_range([100 * row["coverage_90"] for row in rows], "{:.0f} %"))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mixture_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    lines = [
        "",
        "## Mixtures of 25 modes (MCG)",
        "",
        "Means over problems; in brackets what exact draws and draws of the prior get. Mode "
        "weights: half the absolute error of the share of draws in each mode.",
        "",
        "| voxels | measurements | problems x draws | calls + products | sliced W1 (exact, prior) "
        "| mode weights (exact, prior) |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [str(row["size"]), str(row["rows"]), f"{row['problems']} x {row['draws']}"]
        cells.append(f"{row['calls']} + {row['products']}")
        cells += [
            f"{row[name]:.2f} ({row[f'{name}_exact']:.2f}, {row[f'{name}_prior']:.2f})"
            for name in ("sliced", "mode_weights")
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


@functools.lru_cache(maxsize=64)
def _references(operator: str, noise_std: float, truths: int, draws: int) -> dict[str, Any]:
    size = {"noise_std": noise_std, "truths": truths, "draws": draws}
    best, worst = measure(exact_draws, operator, **size), measure(prior_draws, operator, **size)
    return {"exact": _plain(best), "prior": _plain(worst)}


def _plain(score: Score) -> dict[str, float | int]:
    return {key: round(value, 5) for key, value in vars(score).items()}


def _range(values: Sequence[float], form: str) -> str:
    return f"{form.format(min(values))} to {form.format(max(values))}"
