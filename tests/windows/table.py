"""Prints what `make test-windows` has found, as a table: a plugin for pytest."""

from __future__ import annotations

import pytest

_rows: list[tuple[str, str, str]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when != "call" and report.passed:
        return
    name = report.nodeid.partition("[")[2].rstrip("]") or report.nodeid.rpartition("::")[2].replace("_", " ")
    found = str(dict(report.user_properties).get("found", ""))
    if report.skipped:
        found = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped")
    elif report.failed:
        found = "FAILED"
    _rows.append((name.removeprefix("test "), found.replace("|", "/"), f"{report.duration:.0f} s"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line("\n| on Windows' Python | found | time |\n|---|---|---|")
    for row in _rows:
        terminalreporter.write_line(f"| {' | '.join(row)} |")
