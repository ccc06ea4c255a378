"""What the page of a posterior shows: maps, draws, components and a volume, for its script."""

import functools
from typing import Any

import numpy as np

from uqrestore.reports.contents import TITLES, Contents
from uqrestore.reports.data_fit import DataFit
from uqrestore.reports.embed import Shown, component_scores, pack
from uqrestore.reports.findings import Findings

PERCENTILE = 99.5
TOLERANCE_SHARE = 0.3  # of the window: what the slider of tolerance starts at


def pictures(findings: Findings, shown: Shown) -> dict[str, Any]:
    """Return all that the pictures need."""
    c, fit = findings.contents, findings.fit
    arrays = dict(shown.arrays)
    context: dict[str, Any] = {
        "arrays": arrays,
        "slices_shown": len(shown.slices),
        "draws_shown": len(shown.draws),
        "components_shown": shown.components,
        "explained": [_share(c, k) for k in range(shown.components)],
        "component_source": _component_source(c),
        "residual_shown": False,
        "volume": findings.has_images,
    }
    if not findings.has_images:
        return context | {"head": {}, "grey": [], "volume_note": "", "tolerance": 0.0}
    at = list(shown.slices)
    grey = [name for name in (*TITLES, "mean") if name in c.maps]
    low, high = findings.window
    step = c.components * c.component_std[..., None, None]
    width = c.maps["high"] - c.maps["low"]
    inside = c.maps["std"][c.mask] if c.mask.any() else c.maps["std"]
    tolerance = TOLERANCE_SHARE * (high - low)
    head: dict[str, Any] = {
        "shape": [len(at), len(c.y), len(c.x)],
        "start": _start(c, shown),
        "pixel": [_spacing(c.x), _spacing(c.y)],
        "x": c.x.tolist(),
        "y": c.y.tolist(),
        "z": c.z[at].tolist(),
        "unit": c.unit,
        "interval": c.interval,
        "inside": "mask" if c.has_mask else "image",
        "window": [low, high],
        "range": [low, float(max(c.maps["mean"].max(), high))],
        "stdTop": _top(c.maps["std"]),
        "stdHigh": float(np.percentile(inside, 90)),
        "widthTop": _top(width),
        "ratioTop": float(min(_top(np.abs(c.maps["mean"]) / np.maximum(c.maps["std"], 1e-9)), 60)),
        "stepTop": 2 * _top(np.abs(step)) if step.size else 1.0,
        "tolerance": tolerance,
        "grey": grey,
        "draws": list(shown.draws),
        "planned": c.planned,
        "spread": c.component_std[: shown.components, at].tolist(),
        "scores": np.round(component_scores(c, shown), 3).tolist() if shown.components else [],
        "colours": colours(),
        "volume": _volume(c, shown),
    }
    if isinstance(fit, DataFit):
        n = 1 + shown.components
        head |= {
            "gram": fit.gram[at, :n, :n].tolist(),
            "gramScale": fit.scale[at].tolist(),
            "noisy": fit.noisy,
            "fitTolerance": 1e-3,
        }
        if fit.residual is not None:
            arrays["residual"] = pack(fit.residual[at])
            context["residual_shown"] = True
            head["residualTop"] = _top(fit.residual) or 1.0
    head["arrays"] = {name: packed.header() for name, packed in arrays.items()}
    return context | {
        "head": head,
        "grey": [(name, _grey_title(findings, name), _GREY_LABELS[name]) for name in grey],
        "tolerance": tolerance,
        "tolerance_top": float(max(_top(width), 1.5 * tolerance)),
        "volume_note": _volume_note(c, shown),
    }


_GREY_LABELS = {
    "truth": "The reference image.",
    "zero_filled": "The measurement as an image, with zeros where nothing was measured.",
    "linear_mmse": "The best linear estimate under a Gaussian prior.",
    "mean": "The posterior mean.",
}


def _grey_title(findings: Findings, name: str) -> str:
    title = TITLES.get(name, "posterior mean")
    psnr = findings.contents.figures.get(f"psnr_{name}")
    return f"{title}, {psnr:.1f} dB" if isinstance(psnr, float) else title


def _share(c: Contents, k: int) -> str:
    share = c.explained[k]
    return f"{100 * share:.0f} % of the variance" if np.isfinite(share) else "share not stated"


def _component_source(c: Contents) -> str:
    if len(c.draws) and len(c.components):
        return (
            f"They come from {len(c.draws)} draws; the standard deviations are those of draws left "
            "out of the fit, since fitted ones are too long."
        )
    return ""


def _start(c: Contents, shown: Shown) -> int:
    area = c.mask[list(shown.slices)].sum(axis=(1, 2))
    middle = len(area) // 2
    return middle if area[middle] else int(area.argmax())


def _spacing(axis: np.ndarray) -> float:
    return float(abs(axis[1] - axis[0])) if len(axis) > 1 else 1.0


def _top(values: np.ndarray) -> float:
    return float(np.percentile(values, PERCENTILE)) if values.size else 1.0


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


def _volume_note(c: Contents, shown: Shown) -> str:
    words = "Crosshair and positions in millimetres. Components are one standard deviation along."
    index = c.slices[list(shown.slices)]
    if len(index) < index[-1] - index[0] + 1:
        words += " Between the slices that are shown, the nearest one is repeated."
    if len(shown.slices) < len(c.z):
        words += (
            f" To keep the page small it shows {len(shown.slices)} of {len(c.z)} slices; the file "
            "holds them all."
        )
    return words


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
        for name in ("gray", "cividis", "PuOr_r")
    }
