"""Restoration of many scans by many processes: resumable, with a catalogue of the results.

The posterior file of a scan is the only state: a complete one of the same fingerprint is done.
"""

from uqrestore.batch.catalogue import Posteriors, open_posteriors, write_catalogue
from uqrestore.batch.job import Job, Record, restore_one
from uqrestore.batch.run import Outcome, run_batch
from uqrestore.batch.tasks import BatchError, Task, find_tasks, parse_shard

__all__ = [
    "BatchError",
    "Job",
    "Outcome",
    "Posteriors",
    "Record",
    "Task",
    "find_tasks",
    "open_posteriors",
    "parse_shard",
    "restore_one",
    "run_batch",
    "write_catalogue",
]
