"""Studies: benchmarks of methods, and their calibration cards."""

from pathlib import Path
from typing import Annotated, Any

import typer

from uqrestore.commands.options import Device, Overwrite
from uqrestore.terminal import count_bar, one_line_faults, out, say

CARDS, PAGES = Path("uqrestore/zoo/cards"), Path("docs/cards")
"""Where the cards of a checkout are."""

CONDITIONED = {"conditional", "exact"}
"""What asks more of a denoiser than a network trained on images alone gives."""

QUICK = {
    "daps": {"levels": 10},
    "ddnm": {"steps": 20},
    "ddnm_plus": {"steps": 20},
    "diffpir": {"steps": 20},
    "dps": {"steps": 10},
    "local_gaussian": {"preset": "50", "levels": 4},
    "moment_matching": {"steps": 4},
    "pigdm": {"steps": 10},
    "ssd": {"preset": "30"},
    "ssd_plus": {"preset": "30"},
}
"""Enough steps to time a method by."""


def run(
    pipeline: Annotated[str, typer.Argument(help="Name of a benchmark, or a YAML file.")],
    report: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="JSON file for the table; a stopped run goes on."),
    ] = None,
    *,
    slices: Annotated[int | None, typer.Option(min=2, help="Instead of the pipeline's.")] = None,
    draws: Annotated[int | None, typer.Option(min=2, help="Instead of the pipeline's.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Label of an operator or method to run now; may be repeated."),
    ] = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Run a benchmark pipeline: methods x operators x noise on one scan.

    The table is written after every slice. The same command again goes on where it was stopped.
    """
    with one_line_faults(report):
        from uqrestore.benchmark import Results, as_table, check_free, run_benchmark
        from uqrestore.pipeline import BenchmarkPipeline, change, load_pipeline

        plan = load_pipeline(pipeline, BenchmarkPipeline)
        plan = change(plan, slices=slices, draws=draws)
        results = Results(plan)
        if report is not None and report.exists() and not overwrite:
            results = Results.read(report, plan)
        elif report is not None:
            check_free(report, overwrite=overwrite)

        def keep(now: Results) -> None:
            if report is not None:
                now.write(report)

        with count_bar("slices") as advance:
            run_benchmark(
                plan, results=results, only=only or (), device=device, keep=keep, progress=advance
            )
        out.print(as_table(results))
        if report is not None:
            say(f"table: {results.write(report)}")


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
        bool, typer.Option(help="Keep the rows that the card has; goes on where it was stopped.")
    ] = False,
) -> None:
    """Measure how far a method is from exact posteriors, and write its calibration card.

    What is not measured again is kept from the card that is there; rows are written one by one.
    """
    with one_line_faults():
        from uqrestore.evaluation.card_plans import MIXTURES, PLANS
        from uqrestore.evaluation.cards import load_cards, make_card, summary_page, write_card
        from uqrestore.evaluation.mixtures import mixture_rows
        from uqrestore.methods import METHODS

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


def page(
    tables: Annotated[list[Path], typer.Argument(help="JSON files that 'run' wrote.")],
    report: Annotated[
        Path, typer.Option("--out", "-o", help="Markdown file; the picture lies beside it.")
    ],
    *,
    overwrite: Overwrite = False,
) -> None:
    """Make a page of the tables of a benchmark: Markdown, and a picture.

    Sections that were written by hand below the picture of a page that is replaced are kept.
    """
    with one_line_faults():
        from uqrestore.benchmark import check_free, load_report
        from uqrestore.study_page import as_page, draw_picture

        check_free(report, overwrite=overwrite)
        reports = [load_report(path) for path in tables]
        _, head, by_hand = (report.read_text() if report.exists() else "").partition("\n## ")
        picture = draw_picture(reports, report.with_suffix(".png"))
        report.write_text(as_page(reports, picture.name) + head + by_hand)
        say(f"page: {report}, {picture}")


def overhead(
    methods: Annotated[list[str] | None, typer.Argument(help="Methods; all by default.")] = None,
    *,
    prior: Annotated[str, typer.Option(help="Name of a prior of the zoo.")] = "brain64-prior",
    images: Annotated[int, typer.Option(min=1, help="Images in one network call.")] = 16,
) -> None:
    """Time what methods do beside their network, on one core of this machine."""
    with one_line_faults():
        import torch

        from uqrestore.evaluation.card_plans import PLANS
        from uqrestore.evaluation.overhead import measure_overhead
        from uqrestore.methods import METHODS
        from uqrestore.noise import SampleNoise
        from uqrestore.operators import Inpainting
        from uqrestore.problem import simulate
        from uqrestore.zoo import load_prior

        unknown = set(methods or []) - set(METHODS)
        if unknown:
            raise ValueError(f"no method {', '.join(unknown)}; it can be {', '.join(METHODS)}.")
        denoiser = load_prior(prior)
        seen = torch.rand(denoiser.in_shape, generator=torch.Generator().manual_seed(0)) < 0.3
        truth = torch.zeros(denoiser.in_shape)
        for name in methods or [name for name in METHODS if name not in CONDITIONED]:
            noise_std = max(next(iter(PLANS[name].values())).noise_std)
            streams = SampleNoise(0, [0])
            known = simulate(Inpainting(seen.float()), truth, noise_std=noise_std, noise=streams)
            noise = SampleNoise(1, range(images))
            found = measure_overhead(METHODS[name], known, denoiser, noise, **QUICK.get(name, {}))
            say(
                f"{name:16s} {found.calls:4d} calls {found.products:4d} products "
                f"{found.seconds:7.2f} s, beside the network {found.share:6.1%}"
            )
