"""A plugin of pytest: keeps the tests of contract classes, and writes what became of them to a file."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

_RESULTS = pytest.StashKey[dict[str, dict[str, str]]]()
_WORSE = ("passed", "skipped", "failed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--contract-class", default="", help="keep the tests of classes that inherit this one")
    parser.addoption("--contract-results", default="", help="file for the results, JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RESULTS] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--contract-class")
    kept = [item for item in items if wanted in {base.__name__ for base in _list_bases(item)}]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _list_bases(item: pytest.Item) -> tuple[type, ...]:
    cls: type | None = getattr(item, "cls", None)
    return cls.__mro__ if cls is not None else ()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    results = item.config.stash[_RESULTS]
    known = results.setdefault(item.nodeid, {"outcome": "passed", "message": ""})
    if _WORSE.index(report.outcome) > _WORSE.index(known["outcome"]):
        known["outcome"], known["message"] = report.outcome, _shorten(call)
    return report


def _shorten(call: pytest.CallInfo[None]) -> str:
    error = call.excinfo
    return f"{error.typename}: {error.value}".strip().splitlines()[0][:300] if error is not None else ""


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--contract-results")
    if path:
        results = session.config.stash[_RESULTS]
        Path(path).write_text(
            json.dumps([{"test": test, **found} for test, found in results.items()]), "utf-8"
        )
