"""The page of InvFussion for coils."""

from collections.abc import Mapping

CASES = {"R = 4": (4, 5), "R = 8": (8, 4)}
PEOPLE = {"16 people, R = 4": (4, 8), "16 people, R = 8": (8, 6)}
"""Acceleration and centre lines."""
REAL = {"the real scan, R = 4": 4, "the real scan, R = 6": 6}
REAL_DRAWS, REAL_STEPS = 8, 8
NOISE, DRAWS, SIGMA = 0.01, 4, 50.0
SEEN = (42_240, 276_932)
"""Training samples behind the weights: without, and with the last step (`final_steps`)."""
OURS = ("first", "InvFussion", "cost")
"""Beginnings of the names of rows of the network, which stand first."""
WITH_PHASE = {"R = 4": (28.8, 26.1, 33.4), "R = 8": (23.9, 19.3, 26.1)}
"""Earlier numbers with the phase known: linear estimate and one call of ``brain64-invfussion``,
and moment matching with ``brain64-prior``."""


def table(record: Mapping[str, Mapping[str, float]], case: str) -> list[str]:
    """Return the table of one case of simulated coils."""
    rows = [(k.split("|")[1], v) for k, v in record.items() if k.startswith(f"{case}|")]
    rows.sort(key=lambda row: not row[0].startswith(OURS))
    text = [
        f"## {case}",
        "",
        "| method | PSNR | real part | spread over error | CPU seconds, all slices |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows:
        if name == "cost":
            continue
        spread = row.get("spread_over_error")
        shown = "" if spread is None else f"{spread:.2f}"
        text.append(
            f"| {name} | {row['psnr']:.2f} | {row['real_part']:.2f} | {shown} | "
            f"{row['seconds']:.1f} |"
        )
    cost = dict(rows).get("cost", {}).get("forward_over_trunk")
    if cost is not None:
        text += [
            "",
            f"A call of the network costs {cost:.2f} times one of its trunk without operator.",
        ]
    if case in WITH_PHASE:
        linear, one, moments = WITH_PHASE[case]
        text += [
            "",
            f"With the phase given and a prior of real brains at 3 mm alone: {moments} dB of "
            f"`moment_matching` with `brain64-prior`, {one} dB of one call and {linear} dB of the "
            "linear estimate of `brain64-invfussion`, which never saw coils. They compare with "
            "the column *real part*, but know more.",
        ]
    return [*text, ""]


def real_table(record: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the table of the real scan, beside what the page of raw scans has."""
    ideal = (REAL_DRAWS - 1) / (REAL_DRAWS + 1)
    text = [
        "## The real scan",
        "",
        "Four coils, 256 x 256, as in [raw k-space](benchmarks-raw.md), where `fitted_gaussian` "
        "and the rivals are: magnitude inside the head. The maps are refined by draws of the "
        f"network. Intervals of {REAL_DRAWS} draws of an ideal sampler hold {ideal:.0%}.",
        "",
        "| case | method | PSNR | SSIM | spread over error | interval holds | CPU seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, row in record.items():
        case, name = key.split("|")
        if case not in REAL:
            continue
        spread = f"{row['spread_over_error']:.2f}" if "spread_over_error" in row else ""
        holds = f"{row['covered']:.1%}" if "covered" in row else ""
        text.append(
            f"| {case} | {name} | {row['psnr']:.2f} | {row['ssim']:.3f} | {spread} | {holds} | "
            f"{row['seconds']:.0f} |"
        )
    return [*text, ""]


def page(record: Mapping[str, Mapping[str, float]]) -> str:
    """Write the page."""
    text = [
        "# InvFussion for coils",
        "",
        "`python -m tests.benchmarks.coils`: the network of `train-coils-invfussion` after "
        f"**{sum(SEEN):,} training samples** of 64 x 64 pixels (the first {SEEN[0]:,} without the "
        "last step), against methods with the unconditional complex prior `mr-windows`. Its "
        "weights are not bundled. Eight coils, a smooth phase that no method knows, noise of "
        f"{NOISE:g} of the brightest tissue for each real component; {DRAWS} draws. PSNR is of "
        "the complex image (peak 1); *real part* is that of the real part once the true phase is "
        "taken off. The first two tables: eight slices of one person (ROBEX) whom no training saw, "
        "64 x 64 at 3 mm. Eight slices of one person are few. *First estimate*: what the network "
        "starts from, without training.",
        "",
    ]
    for case in (*CASES, *PEOPLE):
        text += table(record, case)
        if case == "16 people, R = 4":
            text += ["One slice of each of the 16 test people of IXI, 96 x 96 at 2 mm.", ""]
    return "\n".join([*text, *real_table(record)])
