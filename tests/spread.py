"""Gives each process of pytest its share of the long tests first: a pytest plugin.

pytest-xdist divides the tests into as many runs of neighbours as it has processes; one that is done takes tests from
the end of another's. So each run begins with files of long tests, and ends with short ones, which even the ends out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol, TypeVar

import pytest


class HasNodeId(Protocol):
    @property
    def nodeid(self) -> str: ...


T = TypeVar("T", bound=HasNodeId)

# By what they take, longest first.
LONG_FILES = (
    "tests/reliability/test_families.py",
    "tests/sandbox/test_sandbox_command.py",
    "tests/security/test_honest_trip.py",
)
LONG_FOLDERS = (
    "tests/reliability/",
    "tests/workflow/",
    "tests/security/",
    "tests/seed/",
    "tests/packaging/",
    "tests/sandbox/",
    "tests/guard/",
    "tests/matrix/",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    if processes > 1:
        items[:] = spread(items, processes)


def spread(items: Sequence[T], runs: int) -> list[T]:
    """Return the items in ``runs`` runs of about as many; files stay whole, long ones are dealt out first."""
    files = [list(group) for _file, group in groupby(items, key=_get_file)]
    dealt: list[list[T]] = [[] for _run in range(runs)]
    for number, file in enumerate(sorted(files, key=lambda file: _rank(_get_file(file[0])))):
        is_long = _rank(_get_file(file[0])) <= len(LONG_FILES)
        run = dealt[number % runs] if is_long else min(dealt, key=len)
        run += file
    return [item for run in dealt for item in run]


def _get_file(item: HasNodeId) -> str:
    return item.nodeid.partition("::")[0]


def _rank(file: str) -> int:
    if file in LONG_FILES:
        return LONG_FILES.index(file)
    return len(LONG_FILES) + (not file.startswith(LONG_FOLDERS))
