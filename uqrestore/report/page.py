"""The page of one posterior: one HTML file that needs nothing else, and the same for machines."""

import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uqrestore import __version__
from uqrestore.report import charts
from uqrestore.report.calibration import expected_coverage, prior_card
from uqrestore.report.contents import TITLES, Contents
from uqrestore.report.data_fit import DataFit
from uqrestore.report.embed import Shown, component_scores, embed, pack
from uqrestore.report.findings import Findings, find, lights, statement, to_data
from uqrestore.report.regions import Region
from uqrestore.report.wording import again, bibtex, facts, fit_words, methods_text

if TYPE_CHECKING:
    from jinja2 import Environment

STATIC = Path(__file__).parent / "static"
SECTIONS = (
    ("verdict", "Verdict"),
    ("images", "Images"),
    ("where", "Where"),
    ("how", "How"),
    ("numbers", "Numbers"),
    ("fit", "Data fit"),
    ("calibration", "Calibration"),
    ("limits", "Limits"),
    ("methods", "Methods"),
    ("provenance", "Provenance"),
)
PERCENTILE = 99.5
TOLERANCE_SHARE = 0.3  # of the window: what the slider of tolerance starts at


@dataclass(frozen=True)
class Written:
    """The files of one report.

    Attributes:
        page: HTML.
        machine: JSON.
        data: What the JSON says.
    """

    page: Path
    machine: Path
    data: Mapping[str, Any]


def write_report(
    path: Path,
    folder: Path | None = None,
    *,
    labels: Path | None = None,
    threshold: float | None = None,
    overwrite: bool = False,
) -> Written:
    """Write ``NAME.report.html`` and ``NAME.report.json`` of a posterior file.

    Args:
        path: The posterior file; nothing else is read but the cards that ship.
        folder: Where they go; None puts them beside the file.
        labels: NIfTI of regions on the grid of the scan that was restored.
        threshold: Intensity; the page then says how probable it is that a region exceeds it.
        overwrite: Replace what is there.

    Raises:
        PosteriorError: If the file is no sound posterior file, or the labels do not fit it.
        FileExistsError: If the report exists and is not to be replaced.
    """
    findings = find(path, labels=labels, threshold=threshold)
    folder = path.parent if folder is None else folder
    stem = findings.contents.stem
    page, machine = folder / f"{stem}.report.html", folder / f"{stem}.report.json"
    for target in (page, machine):
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target}: exists already; pass --overwrite or --out.")
    data = to_data(findings)
    text = render(findings)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(page, text)
    write_whole(machine, json.dumps(data, indent=1, allow_nan=False, default=_finite) + "\n")
    return Written(page, machine, data)


def render(findings: Findings) -> str:
    """Return the page as text."""
    contents = findings.contents
    shown = embed(contents) if findings.has_images else Shown((), (), 0, {})
    context = _words(findings) | _pictures(findings, shown)
    return environment().get_template("report.html").render(context)


@functools.cache
def environment() -> "Environment":
    """Return the templates; whatever enters a page is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(STATIC),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def static(name: str) -> str:
    """Return a file that is copied into pages."""
    return (STATIC / name).read_text(encoding="utf-8")


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears under its name only once it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _finite(value: Any) -> Any:  # noqa: ANN401
    return value.item() if isinstance(value, np.generic) else str(value)


def _words(findings: Findings) -> dict[str, Any]:
    """Return all that is text, tables and charts."""
    c, fit, calibration = findings.contents, findings.fit, findings.calibration
    card, note = prior_card(c)
    low, high = findings.window
    measured = None if isinstance(fit, str) else fit
    return {
        "version": __version__,
        "c": c,
        "sections": SECTIONS,
        "lights": lights(findings),
        "statement": statement(findings),
        "warnings": findings.warnings,
        "has_images": findings.has_images,
        "where_mask": "inside the mask" if c.has_mask else "of the image",
        "half_width": f"{findings.half_width or 0:.3g} {c.unit}",
        "half_width_share": f"{100 * (findings.half_width or 0) / (high - low):.1f} %",
        "spots": [_spot(c, r, high - low) for r in findings.regions if "spot" in r.name],
        "regions": [_region(r) for r in findings.regions],
        "has_truth": "truth" in c.maps,
        "threshold": findings.threshold,
        "draws_done": len(c.draws),
        "expected": expected_coverage(len(c.draws)),
        "absent": f"{min(1.0, 3 / max(len(c.draws), 1)):.0%}",
        "fit": measured,
        "fit_missing": fit if isinstance(fit, str) else "",
        "fit_words": "" if measured is None else fit_words(measured),
        "fit_better": _fit_better(measured),
        "fit_chart": "" if measured is None else _fit_chart(measured, c.draws),
        "calibration": calibration,
        "guarantee": findings.guarantee,
        "check": findings.check,
        "variance_chart": charts.forest(
            [
                (_row_name(r.operator, r.noise_std), r.variance_ratio, r.same_operator)
                for r in calibration.rows
            ],
            1.0,
            "variance of the draws / exact posterior variance",
            f"Variance ratios of {calibration.method} by operator; 1 is right.",
        )
        if calibration.rows
        else "",
        "coverage_chart": charts.forest(
            [
                (_row_name(r.operator, r.noise_std), 100 * r.coverage, r.same_operator)
                for r in calibration.rows
            ],
            90.0,
            "pixels inside their 90 % interval, %",
            f"Coverage of {calibration.method} by operator; 90 is right.",
        )
        if calibration.rows
        else "",
        "prior": card,
        "prior_note": note,
        "methods_text": methods_text(findings),
        "bibtex": bibtex(calibration.method),
        "facts": facts(c),
        "again": again(c),
        "style": static("style.css"),
    }


def _pictures(findings: Findings, shown: Shown) -> dict[str, Any]:
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
        "script": static("report.js"),
        "niivue": static("niivue.umd.js"),
        "niivue_licence": static("niivue.LICENSE.txt"),
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


def _spot(c: Contents, region: Region, span: float) -> dict[str, str]:
    x, y, z = region.position
    row, column = int(np.abs(c.y - y).argmin()), int(np.abs(c.x - x).argmin())
    letter = region.name.rsplit(" ", 1)[-1]
    return {
        "jump": json.dumps([region.slice, row, column]),
        "words": (
            f"({letter}) at x {x:.0f}, y {y:.0f}, z {z:.0f} mm, {region.millilitres:.1f} mL, "
            f"±{100 * region.half_width / span:.0f} % of the range"
        ),
    }


def _region(region: Region) -> dict[str, Any]:
    low, high = region.interval
    label = f"Posterior of {region.name}: {low:.4g} to {high:.4g}"
    return {
        "name": region.name,
        "voxels": region.voxels,
        "millilitres": region.millilitres,
        "estimate": region.estimate,
        "interval": region.interval,
        "truth": region.truth,
        "chance": "" if region.above is None else _chance(region.above, len(region.values)),
        "chart": charts.histogram(region.values.tolist(), region.interval, region.truth, label),
    }


def _chance(share: float, draws: int) -> str:
    """Write a share of draws; none or all of them only bound a probability."""
    if share in (0.0, 1.0):
        bound = min(1.0, 3 / draws)
        return f"< {bound:.2g}" if share == 0 else f"> {1 - bound:.2g}"
    return f"{share:.2f}"


def _row_name(operator: str, noise_std: float) -> str:
    return f"{operator}, noise {noise_std:g}" if noise_std else f"{operator}, no noise"


def _fit_chart(fit: DataFit, draws: Sequence[int]) -> Any:  # noqa: ANN401  (markup)
    names = [f"draw {j + 1}" for j in draws]
    if fit.noisy:
        return charts.strip(
            fit.draws.tolist(), names, 1.0, "chi-square per measurement, one dot a draw", fit.words
        )
    values = np.log10(fit.draws.clip(min=1e-17)).tolist()
    return charts.strip(
        values, names, None, "log10 of ||Ax - y|| / ||y||, one dot a draw", fit.words
    )


def _fit_better(fit: DataFit | None) -> str:
    if fit is None or not fit.noisy:
        return "Noise-free data are explained to rounding, 1e-6 and below."
    return "Dots on the dashed line: a draw is as far from the data as the noise is."


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
