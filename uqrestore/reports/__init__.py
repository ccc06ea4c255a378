"""Reports: self-contained pages and figures, drawn from posterior files alone."""

from uqrestore.reports.example import write_example
from uqrestore.reports.group import GroupWritten, write_reports
from uqrestore.reports.page import Written, write_report
from uqrestore.reports.summary_figure import draw_summary

__all__ = [
    "GroupWritten",
    "Written",
    "draw_summary",
    "write_example",
    "write_report",
    "write_reports",
]
