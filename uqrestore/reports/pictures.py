"""Data of the pictures of a page, for the script that draws them in the browser."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from uqrestore.reports.contents import TITLES, Contents
from uqrestore.reports.data_fit import DataFit
from uqrestore.reports.embed import Packed, Shown, component_scores, pack
from uqrestore.reports.findings import Findings
from uqrestore.reports.panels import sides_of
from uqrestore.reports.window import top_of

TOLERANCE_SHARE = 0.3  # of the window: where the slider of the tolerance starts
LARGEST_RATIO = 60.0  # of mean over std
VOLUME_SLICES = 4  # a volume viewer of fewer shows nothing that the slices do not
DIMENSIONLESS = ("mask", "pc", "phase")


def pictures(findings: Findings, shown: Shown) -> tuple[dict[str, Any], Mapping[str, Packed]]:
    """Return what the script needs beside the arrays, and the arrays.

    Intensities are in the unit of the page: the file's, times a power of ten.
    """
    if not findings.has_images:
        return {}, {}
    c, fit, factor = findings.contents, findings.fit, findings.unit.factor
    at, arrays = list(shown.slices), dict(shown.arrays)
    low, high = (factor * end for end in findings.window)
    steps = c.directions(at) * c.component_std[:, at, None, None]
    width = c.maps["high"] - c.maps["low"]
    std = c.maps["std"]
    inside = std[c.mask] if c.mask.any() else std
    ratio = np.divide(np.abs(c.maps["mean"]), std, out=np.zeros_like(std), where=std > 0)
    head: dict[str, Any] = {
        "shape": [len(at), len(c.y), len(c.x)],
        "start": _start(c, shown),
        "pixel": [_spacing(c.x), _spacing(c.y)],
        "x": c.x.tolist(),
        "y": c.y.tolist(),
        "z": c.z[at].tolist(),
        "sides": sides_of(c.affine),
        "unit": findings.unit.name,
        "interval": c.interval,
        "inside": "mask" if c.has_mask else "image",
        "window": [low, high],
        "range": [low, max(factor * float(c.maps["mean"].max()), high)],
        "stdTop": factor * top_of(std),
        "stdHigh": factor * float(np.percentile(inside, 90)),
        "widthTop": factor * top_of(width),
        "ratioTop": min(top_of(ratio), LARGEST_RATIO),
        "stepTop": 2 * factor * top_of(steps),
        "tolerance": TOLERANCE_SHARE * (high - low),
        "grey": [name for name in (*TITLES, "mean") if name in c.maps],
        "draws": list(shown.draws),
        "planned": c.planned,
        "spread": (factor * c.component_std[: shown.components, at]).tolist(),
        "scores": np.round(component_scores(c, shown), 3).tolist() if shown.components else [],
        "colours": colours(),
    }
    if len(at) >= VOLUME_SLICES:
        head["volume"] = _volume(c, shown)
    if isinstance(fit, DataFit):
        n = 1 + shown.components
        head |= {"gram": fit.gram[at, :n, :n].tolist(), "noisy": fit.noisy, "fitTolerance": 1e-3}
        if fit.residual is not None:
            arrays["residual"] = pack(fit.residual[at])
            head["residualTop"] = factor * top_of(fit.residual)
    head["arrays"] = {
        name: packed.header(1.0 if name.startswith(DIMENSIONLESS) else factor)
        for name, packed in arrays.items()
    }
    return head, arrays


def _start(c: Contents, shown: Shown) -> int:
    area = c.mask[list(shown.slices)].sum(axis=(1, 2))
    middle = len(area) // 2
    return middle if area[middle] else int(area.argmax())


def _spacing(axis: np.ndarray) -> float:
    return float(abs(axis[1] - axis[0])) if len(axis) > 1 else 1.0


def _volume(c: Contents, shown: Shown) -> dict[str, Any]:
    """Place the slices on a regular grid; between restored ones the nearest is repeated."""
    index = c.slices[list(shown.slices)]
    grid = np.arange(index[0], index[-1] + 1)
    source = [int(np.abs(index - k).argmin()) for k in grid]
    affine = c.affine.copy()
    affine[:3, 3] = affine[:3, :3] @ (0, 0, float(index[0])) + affine[:3, 3]
    return {
        "shape": [len(c.x), len(c.y), len(grid)],
        "pixel": np.linalg.norm(affine[:3, :3], axis=0).tolist(),
        "affine": affine.ravel().tolist(),
        "source": source,
    }


@functools.cache
def colours() -> dict[str, str]:
    """Return 256 colours of each map as hexadecimal digits."""
    import matplotlib

    step = np.linspace(0, 1, 256)
    return {
        name: (matplotlib.colormaps[name](step)[:, :3] * 255)
        .round()
        .astype(np.uint8)
        .tobytes()
        .hex()
        for name in ("gray", "cividis", "PuOr_r", "twilight")
    }
