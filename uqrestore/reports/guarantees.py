"""Guarantees from posterior files: the same for the command line and for Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from uqrestore.conformal.guarantee import Guarantee, Method
from uqrestore.conformal.study import read_study
from uqrestore.reports.region_study import calibrate_labelled


def make_guarantee(
    files: Sequence[Path],
    method: Method,
    *,
    alpha: float,
    delta: float,
    share: float,
    labels: str | None = None,
    names: str | None = None,
) -> Guarantee:
    """Make a guarantee from posterior files whose truth is known.

    Args:
        files: Finished posterior files with truth.
        method: How widths are chosen.
        alpha: Share of pixels, images or region means that may lie outside.
        delta: Probability of an unlucky calibration set, for ``rcps`` and ``learn_then_test``.
        share: Share of pixels that must lie inside, for ``split_conformal``.
        labels: Label volume of each file, for ``region_means``; see
            :func:`uqrestore.reports.region_study.calibrate_labelled`.
        names: Names of the labels.

    Raises:
        PosteriorError: If a file is not finished or holds no truth, or labels do not fit it.
        ValueError: If there are too few people, stating how many it takes, or labels and method
            do not go together.
    """
    if method not in get_args(Method):
        raise ValueError(f"method {method!r} is unknown; choose {', '.join(get_args(Method))}.")
    if (labels is not None) != (method == "region_means"):
        raise ValueError(
            "labels and method region_means go together: its intervals are of labelled regions, "
            f"those of others are not, but method is {method} and labels "
            f"{'are missing' if labels is None else repr(labels)}."
        )
    if labels is not None:
        return calibrate_labelled(files, labels, names, alpha=alpha)
    study = read_study(files)
    if method == "component_box":
        return study.calibrate_box(alpha=alpha)
    options = {"share": share} if method == "split_conformal" else {}
    return study.calibrate(method=method, alpha=alpha, delta=delta, **options)
