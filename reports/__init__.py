"""From verdicts to paper: results, evidence, certificate, Allure."""

from matchmark.reports.writer import ReportError, Written, write

__all__ = ["ReportError", "Written", "write"]
