"""A pytest plugin for `make test-nightly`, which continues where it stopped: tests that passed are not run again.

Each result is a line of ``.nightly.jsonl``: the commit, the test with its seed, the outcome, seconds, the time. With
uncommitted changes everything is run.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import frozen

RESULTS_FILE = ".nightly.jsonl"


# What is written about the code changes nothing that a night runs.
_CODE = (".", ":(exclude)docs", ":(exclude)*.md")


def get_commit(root: Path) -> str:
    """Return the last commit that changed code, with ``+`` appended if files of the code differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", root, *arguments, "--", *_CODE], capture_output=True, text=True, check=True
        ).stdout.strip()

    return git("log", "-1", "--format=%H") + ("+" if git("status", "--porcelain") else "")


def read_passed(file: Path, commit: str) -> frozenset[str]:
    """Return the tests whose last result at that commit was a pass. A truncated line is ignored."""
    last: dict[str, str] = {}
    for line in file.read_text("utf-8").splitlines() if file.exists() else ():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if found["commit"] == commit:
            last[found["test"]] = found["outcome"]
    return frozenset(test for test, outcome in last.items() if outcome == "passed")


@frozen
class NightlyPlugin:
    file: Path
    commit: str
    writes: bool
    """Whether this process writes the results; only one does."""
    passed_tests: frozenset[str]

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left_out = [item for item in items if item.nodeid in self.passed_tests]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.nodeid not in self.passed_tests]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self.writes or (report.when != "call" and report.outcome == "passed"):
            return
        entry = {
            "commit": self.commit,
            "test": report.nodeid,
            "outcome": report.outcome,
            "seconds": round(report.duration, 1),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.passed_tests:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.passed_tests:
            terminalreporter.write_line(
                f"{len(self.passed_tests)} passed earlier at this commit: {RESULTS_FILE}"
            )


def pytest_configure(config: pytest.Config) -> None:
    commit = get_commit(config.rootpath)
    file = config.rootpath / RESULTS_FILE
    done = frozenset[str]() if commit.endswith("+") else read_passed(file, commit)
    config.pluginmanager.register(NightlyPlugin(file, commit, not hasattr(config, "workerinput"), done))
