"""Measure the report, and make the pictures of the documentation.

python -m tests.reports measure              time and size of a 64 x 64 x 40 report
python -m tests.reports pictures DEMO FOLDER  report.png and explorer.png of a posterior file
"""

import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import uqrestore
from tests.explorer.stage import stage
from tests.reports.chromium import launch
from uqrestore.posterior import PosteriorWriter
from uqrestore.posterior.example import example_plan
from uqrestore.reports.page import write_report
from uqrestore.scans.grid import Grid
from uqrestore.scans.placement import Placement

SHAPE, DRAWS, COMPONENTS = (64, 64, 40), 16, 5


def measure() -> None:
    """Print seconds, megabytes and milliseconds of a report of a large posterior."""
    with tempfile.TemporaryDirectory() as folder:
        path = large(Path(folder) / "large.posterior.h5")
        start = time.perf_counter()
        page = write_report(path).page
        say(f"report of {SHAPE} x {DRAWS} draws, {COMPONENTS} components")
        say(f"  made in     {time.perf_counter() - start:.1f} s")
        say(f"  size        {page.stat().st_size / 1e6:.1f} MB")
        with launch() as browser:
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            start = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-ready=yes]")
            say(f"  opens in    {time.perf_counter() - start:.1f} s")
            tab.locator("#component-0").focus()
            times = []
            for _ in range(30):
                tab.keyboard.press("ArrowRight")
                times.append(tab.evaluate("uqreport.lastMilliseconds()"))
            say(f"  slider      {np.median(times):.1f} ms, at most {max(times):.1f} ms")


def large(path: Path) -> Path:
    """Write a posterior of smooth random fields; its numbers mean nothing."""
    random = np.random.default_rng(0)
    columns, rows, slices = SHAPE
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    grid = Grid((columns, rows, slices), affine)
    plan = example_plan(draws=DRAWS, slices=(0,), shape=(rows, columns))
    unchanged = plan.placement.orientation
    y = random.normal(500, 50, (slices, 1, rows, columns)).astype(np.float32)
    plan = dataclasses.replace(
        plan,
        placement=Placement(grid, grid, grid, grid, unchanged, (0, 0)),
        slices=tuple(range(slices)),
        y=(plan.y[0], y),
        noise_std=50.0,
    )
    with PosteriorWriter(path, plan) as writer:
        for k in plan.slices:
            noise = random.normal(0, 50, (DRAWS, 1, 1, rows, columns)).astype(np.float32)
            writer.write(range(DRAWS), [k], y[k] + noise)
        return writer.finish(writer.summarise(components=COMPONENTS))


def pictures(path: Path, folder: Path) -> None:
    """Photograph the report and the explorer of a posterior file."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, launch() as browser:
        page = write_report(path, Path(temporary)).page
        tab = browser.new_page(viewport={"width": 1200, "height": 1130})
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-ready=yes]")
        tab.screenshot(path=folder / "report.png")
        tab.evaluate("[1.6, -1].forEach((a, k) => uqreport.slide(k, a))")
        tab.locator("#how").screenshot(path=folder / "report-how.png")
        tab.close()

        posterior = uqrestore.open(path)
        middle = posterior.mean.sizes["z"] // 2
        tab = browser.new_page(viewport={"width": 1140, "height": 520})
        tab.goto(stage(posterior, Path(temporary), middle).as_uri())
        tab.get_by_label("component 1", exact=True).focus()
        for _ in range(24):
            tab.keyboard.press("ArrowRight")
        tab.get_by_label("map on the right").select_option("correlation with the pixel")
        tab.locator(".uq-explorer canvas").first.click(position={"x": 118, "y": 112})
        tab.locator(".uq-explorer").screenshot(path=folder / "explorer.png")
    for picture in sorted(folder.glob("*.png")):
        say(f"{picture}  {picture.stat().st_size / 1e3:.0f} kB")


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure"]:
            measure()
        case ["pictures", posterior_file, target]:
            pictures(Path(posterior_file), Path(target))
        case _:
            sys.exit(__doc__)
