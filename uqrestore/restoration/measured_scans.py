"""Raw scans as measurements to learn a prior from."""

from collections.abc import Callable, Sequence
from pathlib import Path

from uqrestore.pipeline import MethodPart, RestorePipeline
from uqrestore.problem import Problem
from uqrestore.restoration.measure import acquire_slices
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.prepare import prepare_scan
from uqrestore.restoration.prior_cache import PriorCache
from uqrestore.scans import RadialScan, RawScan, ScanError, read_input


def measurements_of_scans(
    folder: Path,
    patterns: Sequence[str],
    prior: str,
    *,
    device: str = "cpu",
    skip: Callable[[str], None] = lambda _: None,
) -> list[Problem]:
    """Read raw scans as the problems that a restoration of them would solve.

    Args:
        folder: Where to look.
        patterns: Such as ``scans/*.h5``; below the folder.
        prior: Name or path of a prior, for the units and pixels of the images.
        device: Device of the prior.
        skip: Called with a line on every scan that cannot be used and is left out.

    Returns:
        The slices of each scan, in network units.

    Raises:
        ScanError: If nothing can be used; the first reason is given.
    """
    pipeline = RestorePipeline(
        kind="restore",
        title="Measurements to learn from",
        prior=prior,
        method=MethodPart(name="moment_matching"),
    )
    cache, problems, reasons = PriorCache(), [], []
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    for path in found:
        try:
            scan = read_input(path)
            if not isinstance(scan, RawScan | RadialScan):
                raise ScanError(f"{path.name}: is an image; only raw k-space is a measurement.")
            prepared = prepare_scan(pipeline, scan, RunOptions(device=device), cache)
            acquisition = acquire_slices(pipeline, prepared)
            problems.append(acquisition.problem(acquisition.slices))
        except (ScanError, OSError, ValueError) as error:
            reasons.append(str(error).splitlines()[0])
            skip(f"{path.name}: {reasons[-1]}")
    if not problems:
        why = f"; of {len(found)} files, the first: {reasons[0]}" if reasons else ""
        raise ScanError(
            f"{folder}: no raw scan of measurements.scans ({', '.join(patterns)}) can be used{why}"
        )
    return problems
