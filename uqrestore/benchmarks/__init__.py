"""Compare methods on one scan: every method, operator and noise level, in one table."""

from uqrestore.benchmarks.cells import run_benchmark
from uqrestore.benchmarks.results import BenchmarkRecord, Results, Row, check_free, load_report
from uqrestore.benchmarks.table import as_table

__all__ = [
    "BenchmarkRecord",
    "Results",
    "Row",
    "as_table",
    "check_free",
    "load_report",
    "run_benchmark",
]
