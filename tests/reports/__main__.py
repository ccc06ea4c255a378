"""Measure the report, and make the pictures of the documentation.

python -m tests.reports measure               time, memory and size of reports of large posteriors
python -m tests.reports memory X Y Z DRAWS     time and memory of one report
python -m tests.reports pictures DEMO FOLDER   report.png and explorer.png of a posterior file
"""

import dataclasses
import resource
import subprocess
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

SMALL, LARGE, DRAWS, COMPONENTS = (64, 64, 40), (256, 256, 180), 16, 5


def measure() -> None:
    """Print seconds, memory, megabytes and milliseconds of reports of large posteriors."""
    for shape in (SMALL, LARGE):
        arguments = map(str, (*shape, DRAWS))
        command = [sys.executable, "-m", "tests.reports", "memory", *arguments]
        sys.stdout.write(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    with tempfile.TemporaryDirectory() as folder, launch() as browser:
        page = write_report(large(Path(folder) / "large.posterior.h5", SMALL, DRAWS)).page
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


def memory(shape: tuple[int, int, int], draws: int) -> None:
    """Print seconds and the peak of the memory of one report, beside that of a small one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.reports", "write", folder, *map(str, shape)]
        subprocess.run([*command, str(draws)], check=True)
        path = Path(folder) / "large.posterior.h5"
        # The memory of the libraries that a report imports does not count.
        write_report(large(Path(folder) / "small.posterior.h5", (16, 16, 8), 4))

        before, start, clock = peak(), time.process_time(), time.perf_counter()
        page = write_report(path).page
        say(f"report of {shape} x {draws} draws, {COMPONENTS} components")
        seconds, wall = time.process_time() - start, time.perf_counter() - clock
        say(f"  made in     {seconds:.1f} s of one core, {wall:.1f} s on the clock")
        say(f"  memory      {peak() - before:.0f} MiB more, {peak():.0f} MiB in all")
        say(f"  size        {page.stat().st_size / 1e6:.1f} MB")


def peak() -> float:
    """Return the largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def large(path: Path, shape: tuple[int, int, int], draws: int) -> Path:
    """Write a posterior of white noise on smooth images; its numbers mean nothing."""
    random = np.random.default_rng(0)
    columns, rows, slices = shape
    grid = Grid(shape, np.diag([3.0, 3.0, 3.0, 1.0]))
    plan = example_plan(draws=draws, slices=(0,), shape=(rows, columns))
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
            noise = random.normal(0, 50, (draws, 1, 1, rows, columns)).astype(np.float32)
            writer.write(range(draws), [k], y[k] + noise)
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
        case ["memory", x, y, z, draws]:
            memory((int(x), int(y), int(z)), int(draws))
        case ["write", folder, x, y, z, draws]:
            large(Path(folder) / "large.posterior.h5", (int(x), int(y), int(z)), int(draws))
        case ["pictures", posterior_file, target]:
            pictures(Path(posterior_file), Path(target))
        case _:
            sys.exit(__doc__)
