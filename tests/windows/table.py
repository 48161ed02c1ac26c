"""Prints what `make test-windows` has found, as a table: a plugin for pytest."""

from __future__ import annotations

import pytest

_rows: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take what a test has recorded of its steps; the last record of a step counts."""
    if report.when == "call":
        _rows.update({step: str(found) for step, found in report.user_properties})
        if report.failed and not report.user_properties:
            _rows[report.nodeid.rpartition("::")[2]] = "FAILED"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line("\n| on Windows' Python | found |\n|---|---|")
    for step, found in _rows.items():
        terminalreporter.write_line(f"| {step} | {found.replace('|', '/')} |")
