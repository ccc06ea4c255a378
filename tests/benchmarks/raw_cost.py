"""Time and memory of `raw-head` at full size, beside sigpy and BART in one run.

python -m tests.benchmarks.raw_cost memory 320 16 16    # side, coils, draws: peak memory
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import uqrestore as uq
from tests.benchmarks.heads import CoilScan, lines, measure_coils
from uqrestore.cli.terminal import say
from uqrestore.scans import RawScan

DRAWS, COILS, SIDE = 8, 8, 256
LARGE = (320, 16, 16)
"""Side, coils and draws of the memory measurement."""
NOISE_STD, ACCELERATION, CENTRE = 0.01, 4, 24


def phantom(side: int) -> torch.Tensor:
    """Return a complex head of any size: the bundled T1 slice in a ring, with a smooth phase."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    radius = ((x / 0.72) ** 2 + (y / 0.9) ** 2).sqrt()
    tissue = 0.55 + 0.25 * torch.sin(9 * x) * torch.cos(11 * y) + 0.1 * torch.sin(40 * x * y)
    head = torch.where(radius < 0.85, tissue, torch.where(radius < 1, 0.9, 0.0))
    return torch.polar(head, 0.8 * x - 0.5 * y + 0.4 * x * y)


def simulated(side: int, coils: int) -> CoilScan:
    """Return a scan of the phantom, one line in four."""
    mask = lines(side, ACCELERATION, CENTRE, 0)
    generator = torch.Generator().manual_seed(0)
    return measure_coils(phantom(side), mask, NOISE_STD, generator, count=coils, centre=CENTRE)


def as_raw(scan: CoilScan) -> RawScan:
    """Return a simulated scan as k-space from Python."""
    problem: Any = scan.problem
    kspace = torch.view_as_complex(problem.y.movedim(0, -1).contiguous())
    return uq.scan_from_kspace(
        kspace.numpy()[None],
        mask=problem.operator.mask.numpy(),
        spacing=1.0,
        noise_std=NOISE_STD,
        name="phantom",
    )


def restore_seconds(scan: CoilScan, draws: int) -> float:
    """Restore with the pipeline `raw-head`, file and all, and return the time."""
    raw = as_raw(scan)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        uq.restore(raw, "raw-head", draws=draws, out=Path(folder) / "x.posterior.h5")
        return time.perf_counter() - start


def peak_memory(side: int, coils: int, draws: int) -> float:
    """Return the peak memory of a restoration in a process of its own, in GiB."""
    command = [sys.executable, "-m", "tests.benchmarks.raw_cost", "memory"]
    command += [str(side), str(coils), str(draws)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["gib"])


def measure_cost(rivals: dict[str, Callable[[CoilScan], Any]]) -> dict[str, Any]:
    """Return times of 8 draws and of rivals in seconds, and peak memory in GiB."""
    scan = simulated(SIDE, COILS)
    seconds = {}
    for name, solve in rivals.items():
        start = time.perf_counter()
        solve(scan)
        seconds[name] = time.perf_counter() - start
    side, coils, draws = LARGE
    return {
        "threads": torch.get_num_threads(),
        "seconds": restore_seconds(scan, DRAWS),
        "rivals": seconds,
        "gib": peak_memory(side, coils, draws),
    }


def lines_of(cost: dict[str, Any]) -> list[str]:
    """Return the section of the page."""
    rivals = ", ".join(
        f"{name} {value:.1f} s (1 : {cost['seconds'] / value:.0f})"
        for name, value in cost["rivals"].items()
    )
    side, coils, draws = LARGE
    return [
        "",
        "## Time and memory",
        "",
        f"Pipeline `raw-head`, file and refined maps included, on {cost['threads']} threads: "
        f"{DRAWS} draws of a {SIDE} x {SIDE} slice of {COILS} coils take {cost['seconds']:.0f} s; "
        f"in the same run {rivals}. The peak memory of {draws} draws of {side} x {side} from "
        f"{coils} coils is {cost['gib']:.1f} GiB.",
    ]


def main() -> None:
    """Measure the memory of this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["memory"])
    parser.add_argument("side", type=int)
    parser.add_argument("coils", type=int)
    parser.add_argument("draws", type=int)
    given = parser.parse_args()
    seconds = restore_seconds(simulated(given.side, given.coils), given.draws)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    say(json.dumps({"gib": peak, "seconds": seconds}))


if __name__ == "__main__":
    main()
