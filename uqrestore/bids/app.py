"""Levels of the BIDS App: restoration of participants, and a page over all of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from uqrestore.batch import BatchError, Job, run_batch
from uqrestore.batch.tasks import SUFFIX
from uqrestore.bids.derivative import describe_dataset, write_maps
from uqrestore.bids.find import DRAWN, BidsScan
from uqrestore.reports.group import GroupWritten, write_reports
from uqrestore.reports.page import write_report
from uqrestore.reports.tables import write_tables

Say = Callable[[str], None]


def restore_participants(
    scans: Sequence[BidsScan], job: Job, *, workers: int = 1, say: Say = lambda _: None
) -> int:
    """Restore images into a BIDS derivative; the same call resumes.

    Args:
        scans: As :func:`find_scans` returns them, of one dataset.
        job: Pipeline, options and folder of the derivative.
        workers: Processes on this machine.
        say: Called with one line per image.

    Returns:
        Number of images that failed; the batch keeps the reason in a file beside the outputs.

    Raises:
        BatchError: If the derivative would be written into the dataset itself.
    """
    root = scans[0].root
    if job.out.resolve() == root:
        raise BatchError(
            f"{job.out}: is the dataset itself; write to a folder such as "
            f"{job.out / 'derivatives' / 'uqrestore'}."
        )
    describe_dataset(job.out, root, job.pipeline)
    for scan in scans:
        if scan.note:
            say(f"{scan.path.name}: {scan.note}")
    outcome = run_batch([scan.task for scan in scans], job, workers=workers)
    by_name = {scan.task.name: scan for scan in scans}
    failed = 0
    for record in outcome.records:
        scan = by_name[record.name]
        if not record.is_done:
            failed += 1
            say(f"{scan.path.name}: {record.status}: {record.error}")
            continue
        posterior = job.posterior(record.name)
        page = job.out / f"{posterior.name.removesuffix(SUFFIX)}.report.html"
        maps = job.out / f"{scan.name('std')}.json"
        if record.status == "done" or not (maps.exists() and page.exists()):
            write_maps(scan, job.out, posterior)
            written = write_report(posterior, page, overwrite=True)
            tables = {key: job.out / f"{scan.name(key)}.tsv" for key in ("regions", "numbers")}
            write_tables(written.data, **tables)
        say(f"{scan.path.name}: {record.status}, {page.name}")
    return failed


def restore_group(out: Path) -> GroupWritten:
    """Write the reports of all posterior files of a derivative, and the page that compares them.

    Raises:
        BatchError: If the folder holds no posterior file.
    """
    posteriors = sorted(out.glob(f"sub-*/**/*desc-{DRAWN}_*{SUFFIX}"))
    if not posteriors:
        raise BatchError(f"{out}: holds no posterior file; run the level participant before group.")
    return write_reports(posteriors, out, overwrite=True)
