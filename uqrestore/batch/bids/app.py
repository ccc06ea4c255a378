"""Levels of the BIDS App: restoration of participants, and a page over all of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from uqrestore.batch import BatchError, Job, Record, Task, run_batch
from uqrestore.batch.bids.derivative import describe_dataset, write_maps
from uqrestore.batch.bids.find import DRAWN, BidsScan
from uqrestore.batch.run import Tell
from uqrestore.batch.tasks import SUFFIX
from uqrestore.reports.group import GroupWritten, write_reports
from uqrestore.reports.page import write_report
from uqrestore.reports.tables import write_tables


def restore_participants(
    scans: Sequence[BidsScan],
    job: Job,
    *,
    workers: int = 1,
    tell: Tell | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Restore images into a BIDS derivative; the same call resumes.

    Args:
        scans: As :func:`find_scans` returns them, of one dataset.
        job: Pipeline, options and folder of the derivative.
        workers: Processes on this machine.
        tell: Called for every image found, started and ended, as by ``run_batch``.
        say: Called with lines for the user: masks that were not used, maps that failed.

    Returns:
        Number of images that failed; of a restoration the reason is kept in a file beside the
        outputs.

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
    by_name = {scan.task.name: scan for scan in scans}
    failed: set[str] = set()

    def ended(event: str, what: Task | Record) -> None:
        if tell is not None:
            tell(event, what)
        if not isinstance(what, Record):
            return
        try:
            if what.is_done:
                _write_outputs(by_name[what.name], job, fresh=what.status == "done")
            else:
                failed.add(what.name)
        except (OSError, ValueError) as error:  # one image must not stop the others
            failed.add(what.name)
            say(f"{what.name}: {error}")

    run_batch([scan.task for scan in scans], job, workers=workers, tell=ended)
    return len(failed)


def _write_outputs(scan: BidsScan, job: Job, *, fresh: bool) -> None:
    """Write maps, report and tables of an image, unless they are there and the draws not fresh."""
    posterior = job.posterior(scan.task.name)
    page = job.out / f"{posterior.name.removesuffix(SUFFIX)}.report.html"
    last = job.out / f"{scan.name('numbers')}.tsv"
    if fresh or not last.exists() or not page.exists():
        write_maps(scan, job.out, posterior)
        data = write_report(posterior, page, overwrite=True).data
        write_tables(data, last, job.out / f"{scan.name('regions')}.tsv")


def restore_group(out: Path) -> GroupWritten:
    """Write the reports of all posterior files of a derivative, and the page that compares them.

    Raises:
        BatchError: If the folder holds no posterior file.
    """
    posteriors = sorted(out.glob(f"sub-*/**/*desc-{DRAWN}_*{SUFFIX}"))
    if not posteriors:
        raise BatchError(f"{out}: holds no posterior file; run the level participant before group.")
    return write_reports(posteriors, out, overwrite=True)
