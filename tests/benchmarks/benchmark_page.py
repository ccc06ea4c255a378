"""Pages of the documentation from the tables that benchmarks wrote: a table and a picture."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uqrestore.benchmarks import check_free, load_report
from uqrestore.cli.options import Overwrite
from uqrestore.cli.terminal import one_line_faults, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

Report = Mapping[str, Any]
Row = Mapping[str, Any]

_TICKS = (10, 20, 50, 100, 200, 500, 1000, 3000)
_SWEPT = re.compile(r"(\w+)=([\w.]+)")


def as_page(reports: Sequence[Report], picture: str) -> str:
    """Return Markdown: what was run, one table, and the picture.

    Args:
        reports: Files of one pipeline, as ``benchmark.Results.write`` wrote them, of different
            operators or methods.
        picture: Name of the image file beside the page.
    """
    plan = reports[0]["pipeline"]
    covered = reports[0]["coverage_of_a_right_sampler"]
    lines = [
        f"# {plan['title']}",
        "",
        " ".join(str(plan["description"]).split()),
        "",
        f"Scan {plan['scan']}, prior {plan['prior']} ({plan['precision']}), {plan['slices']} "
        f"slices x {plan['draws']} draws unless fewer are stated, seed {plan['seed']}, "
        f"{reports[0]['threads']} thread. PSNR and SSIM are of the mean of the draws, inside the "
        "mask, over the range -1 to 1. Gain is that PSNR minus the PSNR of the minimum-norm images "
        "of the same slices; rows of fewer slices (hollow in the picture) are not comparable with "
        "rows of all. Coverage is of 90 % intervals on pixels that were not measured; with "
        f"{plan['draws']} draws an ideal sampler "
        f"covers {covered:.0%}. Seconds are CPU time, for all draws of a slice. A "
        "product is a vector-Jacobian product, as costly as two calls.",
        "",
        "| operator | noise | method | slices | PSNR dB | gain dB | SSIM | coverage "
        "| calls + products | s / slice |",
        "|" + "---|" * 10,
    ]
    rows = [row for report in reports for row in report["rows"] if not row["failed"]]
    for row in rows:
        cells = [
            row["operator"],
            f"{row['noise_std']:g}",
            row["method"],
            str(row["slices"]),
            _number(row["psnr"], ".2f"),
            _number(row["gain"], "+.2f"),
            f"{row['ssim']:.3f}",
            _number(row["coverage"], ".1%"),
            f"{row['nfe']} + {row['products']}" if row["nfe"] else "-",
            f"{row['seconds']:.1f}" if row["seconds"] else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *_not_run(reports), f"![{plan['title']}]({picture})", ""]
    return "\n".join(lines)


def _not_run(reports: Sequence[Report]) -> list[str]:
    """Say which cells have no slice yet, method by method."""
    plan = reports[0]["pipeline"]
    cells = [(o, n) for report in reports for o in report["pipeline"]["operators"]
             for n in plan["noise_std"]]  # fmt: skip
    done = {(r["method"], r["operator"], r["noise_std"]) for t in reports for r in t["rows"]}
    fields = []
    for method in plan["methods"]:
        left = [cell for cell in dict.fromkeys(cells) if (method, *cell) not in done]
        if len(left) == len(set(cells)):
            fields.append(f"`{method}`")
        elif left:
            where = ", ".join(f"{operator} at {noise:g}" for operator, noise in left)
            fields.append(f"`{method}` ({where})")
    return [f"Not run yet: {'; '.join(fields)}.", ""] if fields else []


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def draw_picture(reports: Sequence[Report], path: Path) -> Path:
    """Draw what is gained against cost, or PSNR against the options of a sweep, one panel each."""
    from matplotlib.figure import Figure

    rows = [row for report in reports for row in report["rows"] if not row["failed"] and row["nfe"]]
    swept = [dict(_SWEPT.findall(row["method"])) for row in rows]
    by_sweep = all(len(options) == 3 for options in swept)
    panels: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        first = next(iter(swept[i].items())) if by_sweep else None
        name = (
            f"{first[0]} = {first[1]}"
            if first
            else f"{row['operator']}, noise {row['noise_std']:g}"
        )
        panels.setdefault(name, []).append(i)
    columns = min(len(panels), 5)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.9 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharey=by_sweep).ravel()
    looks = _looks(rows)
    for ax, (name, members) in zip(axes, panels.items(), strict=False):
        ax.set_title(name, fontsize=9)
        ax.set_ylabel("PSNR dB" if by_sweep else "gain over minimum norm, dB", fontsize=8)
        ax.tick_params(labelsize=7)
        chosen = [rows[i] for i in members]
        if by_sweep:
            _lines(ax, chosen, [swept[i] for i in members])
        else:
            _points(ax, chosen, looks)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    if not by_sweep:
        figure.legend(handles=_handles(looks), loc="outside lower center", ncols=8, fontsize=7)
    figure.savefig(path, dpi=110)
    return path


def _lines(ax: "Axes", rows: Sequence[Row], swept: Sequence[Mapping[str, str]]) -> None:
    _, along, each = swept[0]
    for value in dict.fromkeys(options[each] for options in swept):
        chosen = [i for i, options in enumerate(swept) if options[each] == value]
        x = [float(swept[i][along]) for i in chosen]
        ax.plot(x, [rows[i]["psnr"] for i in chosen], "o-", ms=3, label=f"{each} {value}")
    ax.set_xlabel(along, fontsize=8)
    ax.legend(fontsize=6)


def _looks(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Give every method a colour and a marker."""
    methods = dict.fromkeys(row["method"] for row in rows)
    return {name: (f"C{i % 10}", "os^Dv"[i // 10 % 5]) for i, name in enumerate(methods)}


def _handles(looks: Mapping[str, tuple[str, str]]) -> "list[Line2D]":
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=colour, marker=marker, ls="", ms=4, label=name)
        for name, (colour, marker) in looks.items()
    ]


def _points(ax: "Axes", rows: Sequence[Row], looks: Mapping[str, tuple[str, str]]) -> None:
    costs = [row["nfe"] + 2 * row["products"] for row in rows]
    ax.set_xscale("log")
    ax.set_xlim(min(costs) / 1.5, 1.5 * max(costs))
    ticks = [at for at in _TICKS if min(costs) / 1.3 <= at <= 1.3 * max(costs)]
    ax.set_xticks(ticks, [str(at) for at in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("calls, a product as two", fontsize=8)
    ax.margins(y=0.1)
    most = max(row["slices"] for row in rows)
    for cost, row in zip(costs, rows, strict=True):
        colour, marker = looks[row["method"]]
        fill = colour if row["slices"] == most else "none"
        ax.plot(cost, row["gain"], marker, ms=4, color=colour, markerfacecolor=fill)


def page(
    tables: Annotated[list[Path], typer.Argument(help="JSON files that 'benchmark' wrote.")],
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
        check_free(report, overwrite=overwrite)
        reports = [load_report(path) for path in tables]
        _, head, by_hand = (report.read_text() if report.exists() else "").partition("\n## ")
        picture = draw_picture(reports, report.with_suffix(".png"))
        report.write_text(as_page(reports, picture.name) + head + by_hand)
        say(f"page: {report}, {picture}")


if __name__ == "__main__":
    typer.run(page)
