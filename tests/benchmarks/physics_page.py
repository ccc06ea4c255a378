"""Page of the benchmark of physics that is not linear, not Gaussian or not known."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from tests.benchmarks.physics_cases import FEW, SCENES, cases
from tests.benchmarks.physics_plugin import GRID

DRAWS = 19
LEVELS = 12


def split_gibbs(noise_std: float, levels: int, high: float = 3.0) -> tuple[float, float]:
    r"""Return mean and variance of annealed split Gibbs draws, relative to the exact ones.

    Of one direction with a prior :math:`N(0, 1)` and a measurement of value 1. At each level
    :math:`\rho`, from ``high`` down to 0.01, :math:`z` is drawn from the prior given
    :math:`x = z + \rho n`, and :math:`x` from the likelihood given :math:`z`, both exactly.
    """
    mean, variance, noise = 0.0, 1 + high**2, noise_std**2
    for rho in torch.logspace(math.log10(high), -2, levels, dtype=torch.float64).tolist():
        kept = 1 / (1 + rho**2)
        mean, variance = kept * mean, kept**2 * variance + kept * rho**2
        held = noise / (noise + rho**2)
        mean, variance = held * mean + 1 - held, held**2 * variance + held * rho**2
    return mean * (1 + noise), variance * (1 + noise) / noise


def percent(value: float) -> str:
    """Return a share as text."""
    return f"{100 * value:.1f} %"


Rows = Mapping[str, dict[str, Any]]


def nuts(rows: Rows) -> list[str]:
    """Return the section on the no-U-turn sampler."""
    lines = [
        "## Against the no-U-turn sampler",
        "",
        "One image each; four chains of NUTS (pyro-ppl) in coordinates where the prior is white, "
        "with the exact likelihood, against 400 draws of `local_laplace`, in double precision. "
        "Largest R-hat and smallest effective sample size are of all pixels. The error of the mean "
        "is in units of what chance leaves of both, the variance relative to that of NUTS; in the "
        "last column how far the variance of single pixels is off, rms of its logarithm, and how "
        "far chance puts it. `python -m tests.benchmarks.physics_nuts`.",
        "",
        "| problem | R-hat | effective | mean error | variance | variance of a pixel (chance) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['title']} | {row['r_hat']:.3f} | {row['effective']:.0f} | "
        f"{row['mean_error']:.2f} | {row['variance_ratio']:.2f} | {row['pixel']:.2f} "
        f"({row['chance']:.2f}) |"
        for row in rows.values()
    ]
    lines += [
        "",
        "Trajectories of clipped values turn about the local prior (`about`), in 32 levels of 64 "
        "leaps, here and in the first table. The Laplace model at the mode has a value either "
        "clipped or not, and about it trajectories hardly change that: with 32 levels of 24 leaps "
        "the mean error was 1.10 and the variance 0.98 at 8 x 8, but 3.1 and 0.89 at 16 x 16.",
    ]
    return [*lines, ""]


def evidence(rows: Rows) -> list[str]:
    """Return the section on the evidence."""
    lines = [
        "## Evidence",
        "",
        "`methods.evidence` of 200 images each and of two descriptions of their measurement, of "
        "which one is right, where the exact evidence of both is known in closed form: rms error "
        "of `log p(y)`, its standard error as stated, and how often the description with the "
        "larger evidence is the one that the exact evidence prefers, where that tells them apart "
        "by 5 nats. Priors: the Gaussian field, and a mixture of three fields. "
        "`python -m tests.benchmarks.physics_evidence`.",
        "",
        "| prior | descriptions | rms error | stated | right one | of images |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['prior']} | {row['title']} | {row['error']:.2f} | {row['stated']:.2f} | "
        f"{percent(row['right'])} | {row['apart']} |"
        for row in rows.values()
    ]
    return [*lines, ""]


def costs(rows: Rows) -> list[str]:
    """Return the section on calls."""
    known = cases()
    lines = [
        "## What a draw costs",
        "",
        "Calls of the denoiser and vector-Jacobian products with it, the most of a few images. A "
        "product of a network takes as long as two calls, of the Gaussian prior here next to "
        "nothing: `local_laplace` is the method for closed-form priors, and for networks where "
        "minutes do not count. Pipelines with networks draw by `fitted_gaussian`, whose error "
        "model stands in for the products: 20 calls and no product a draw of a 64 x 64 image in "
        "`ct-low-dose` (which needs 40 more calls in all to linearise the counts) and in "
        "`mr-motion`; [low-dose CT](benchmarks-low-dose.md) and "
        "[motion](benchmarks-motion.md) have their coverage.",
        "",
        "| problem | calls | products |",
        "|---|---|---|",
    ]
    lines += [
        f"| {known[key].title} | {row['calls']:,} | {row['products']:,} |"
        for key, row in rows.items()
        if "calls" in row
    ]
    return [*lines, ""]


def images(row: Mapping[str, Any]) -> str:
    """Return the number of images where it is not that of the page."""
    count = row.get("scenes", SCENES)
    return "" if count == SCENES else f", {count} images"


def page(rows: Rows, chains: Rows, scores: Rows) -> str:
    """Return the page."""
    known = cases()
    lines = [
        "# Physics that is not linear, not Gaussian or not known",
        "",
        f"{SCENES} images of a Gaussian field of 8 x 8 pixels (standard deviation 0.5) unless "
        f"stated, {DRAWS} draws of `local_laplace` each with this prior, which is exact. Coverage "
        "is the share of pixels between the smallest and the largest draw: 90 % for an ideal "
        "sampler. Its standard error is over scenes. Made by `python -m tests.benchmarks.physics`, "
        f"in single precision, with {LEVELS} noise levels unless stated, or {FEW['levels']} for "
        "counts, Rician and Student noise.",
        "",
        "## Operators and noise",
        "",
        "In the last columns: the 90 % intervals of the exact posterior of a linear Gaussian "
        "problem that one might solve instead.",
        "",
        "| problem | coverage | RMSE of the mean | instead | coverage | RMSE |",
        "|---|---|---|---|---|---|",
    ]
    for key, row in rows.items():
        case = known[key]
        if "parameter" not in row:
            other = (
                f"{case.other} | {percent(row['other'])} | {row['other_rmse']:.3f}"
                if "other" in row
                else " | | "
            )
            lines.append(
                f"| {case.title}{images(row)} | {percent(row['coverage'])} ± "
                f"{percent(row['error'])} | {row['rmse']:.3f} | {other} |"
            )
    lines += [
        "",
        *(
            [
                "Phase retrieval is up to the sign of the image: every draw has the sign that is "
                "nearer to the truth. The mode is sought from 8 random images (`starts`): from one "
                "alone about half of the chains end in a mode some hundred nats below the best; "
                "their intervals, too wide, held 97.3 %.",
                "",
            ]
            if "phase" in rows
            else []
        ),
        "## Unknown parameters",
        "",
        "Image and parameters drawn together, against plug-in posteriors, exact Gaussian ones at "
        "one value of the parameters: the centre of their prior, and the most probable given the "
        "measurement (of the marginal posterior; with several parameters, of image and parameters "
        "together). Beside each coverage the RMSE of the mean. Where one parameter is unknown the "
        f"exact posterior is a sum over {GRID} values of it, each with a Gaussian posterior; the "
        "error of the mean of the draws is in units of what chance leaves with "
        f"{DRAWS} draws, and the variance is relative to the exact one. Chance alone puts the RMSE "
        f"of a mean of {DRAWS} draws {percent((1 + 1 / DRAWS) ** 0.5 - 1)} above that of the "
        "posterior mean; plug-in means have none of it.",
        "",
        "| unknown | images | coverage | RMSE | of the parameters | plug-in at centre | RMSE | "
        "plug-in, most probable | RMSE | mean error | variance |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, row in rows.items():
        if "parameter" in row:
            against = (
                f"{row['mean_error']:.2f} | {row['variance_ratio']:.2f}"
                if "mean_error" in row
                else "-" + " | -"
            )
            lines.append(
                f"| {known[key].title} | {row.get('scenes', SCENES)} | "
                f"{percent(row['coverage'])} ± {percent(row['error'])} | {row['rmse']:.3f} | "
                f"{percent(row['parameter'])} | {percent(row['nominal'])} | "
                f"{row['nominal_rmse']:.3f} | {percent(row['best'])} | "
                f"{row.get('best_rmse', math.nan):.3f} | {against} |"
            )
    lines += [
        "",
        "Gain, width and motion move with the image integrated out, besides trajectories of both: "
        "images and parameters of an accurate measurement lie on a thin curved sheet, along which "
        "trajectories are short. Without these moves a width was covered in 76 % and a gain in "
        "87 %, with mean errors of 1.40 and 1.52. Many parameters need many moves: four shots, "
        "with nine parameters, were covered in 78.7 % ± 2.3 % (40 images) by 8 moves a level in "
        "which all moved at once. Joint modes of parameters are poor points to "
        "plug in: they trade contrast of the image for parameters.",
        "",
        *(
            ["Not measured yet: " + "; ".join(known[key].title for key in missing) + ".", ""]
            if (missing := [key for key in known if key not in rows])
            else []
        ),
        *(nuts(chains) if chains else []),
        *(evidence(scores) if scores else []),
        *costs(rows),
        "## Why not a split Gibbs sampler",
        "",
        "PnP-DM (arXiv:2405.18782) alternates between prior and likelihood, coupled by a noise "
        "whose level falls. Where a direction is measured poorly, it has not converged at the end: "
        "mean and variance of its draws in a direction of prior variance 1, relative to the exact "
        "ones, by the recursion of its moments with exact steps, from level 3 to 0.01.",
        "",
        "| noise of the measurement | 12 levels | 25 levels | 80 levels |",
        "|---|---|---|---|",
    ]
    for noise_std in (0.3, 1.0, 3.0):
        cells = [
            "mean {:.2f}, variance {:.2f}".format(*split_gibbs(noise_std, levels))
            for levels in (12, 25, 80)
        ]
        lines.append(f"| {noise_std:g} | {' | '.join(cells)} |")
    lines += [
        "",
        "`local_laplace` draws the image from prior and likelihood at once; for Gaussian images "
        "and a linear measurement both ratios are 1 at any number of levels (`tests/methods`).",
    ]
    return "\n".join([*lines, ""])
