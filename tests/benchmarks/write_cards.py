"""Measure how far a method is from exact posteriors, and write its calibration card.

python -m tests.benchmarks.write_cards METHOD
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from tests.benchmarks.card_plans import MIXTURES, PLANS
from tests.benchmarks.cards import load_cards, make_card, summary_page, write_card
from uqrestore.benchmarks.mixtures import mixture_rows
from uqrestore.cli.terminal import count_bar, one_line_faults, say
from uqrestore.methods import METHODS

CARDS, PAGES = Path("uqrestore/zoo/cards"), Path("docs/cards")
"""Where the cards of a checkout are."""


def card(
    method: Annotated[str, typer.Argument(help="Name of a method, or 'all'.")],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for JSON and pages; default: those of the checkout."
        ),
    ] = None,
    *,
    truths: Annotated[int, typer.Option(min=1, help="Images an operator.")] = 8,
    draws: Annotated[int, typer.Option(min=4, help="Posterior samples an image.")] = 64,
    fields: Annotated[bool, typer.Option(help="Measure on Gaussian fields.")] = True,
    mixtures: Annotated[bool, typer.Option(help="Measure on mixtures of 25 modes.")] = True,
    missing: Annotated[
        bool, typer.Option(help="Keep the rows that the card has; resumes a stopped run.")
    ] = False,
) -> None:
    """Measure how far a method is from exact posteriors, and write its calibration card.

    Rows that are not measured again are kept from the card that is there; rows are written one by
    one.
    """
    with one_line_faults():
        if method != "all" and method not in PLANS:
            raise ValueError(f"no method {method!r} has a card; it can be all, {', '.join(PLANS)}.")
        cards, pages = (folder, folder) if folder is not None else (CARDS, PAGES)
        if not cards.is_dir() or not pages.is_dir():
            raise FileNotFoundError(
                f"no folders {cards} and {pages} here; run this in a checkout, or name an existing "
                "folder with --out."
            )
        for name in PLANS if method == "all" else [method]:
            there = dict(next((c for c in load_cards(cards) if c["method"] == name), {}))
            kept = {"mixtures": there["mixtures"]} if "mixtures" in there else {}

            def keep(card: dict[str, Any], kept: dict[str, Any] = kept) -> None:
                write_card(kept | card, cards)

            made = there
            if fields or not made:
                with count_bar(f"{name}, fields") as advance:
                    made = kept | make_card(
                        name,
                        METHODS[name],
                        PLANS[name],
                        truths=truths,
                        draws=draws,
                        known=there if there and missing else None,
                        keep=keep if missing else None,
                        progress=advance,
                    )
            if mixtures and name in MIXTURES:
                with count_bar(f"{name}, mixtures") as advance:
                    known = MIXTURES[name]
                    made["mixtures"] = mixture_rows(METHODS[name], known, progress=advance)
            say(f"card: {write_card(made, cards, pages)}")
        (pages / "README.md").write_text(summary_page(load_cards(cards)))


if __name__ == "__main__":
    typer.run(card)
