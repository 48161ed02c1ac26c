"""The table of seeded faults covers every role, and a few of them are caught at each run; all by `make test-roots`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.command_line import ROOT
from tests.roots.root import TestedRoot
from tests.roots.tree_copy import TreeCopy, open_tree_copy
from tests.testing.seeded.__main__ import find_failing_tests
from tests.testing.seeded.table import SEEDED_FAULTS, make_row

LEAST_BY_ROLE = {
    "auth": 6,
    "billing": 10,
    "lease": 15,
    "renewal": 3,
    "staging": 3,
    "start": 3,
    "interruption": 4,
    "volumes": 6,
    "simulator": 6,
    "mailbox": 5,
    "notifier": 5,
    "launcher": 5,
    "rates": 5,
    "session": 7,
    "exporter": 5,
}
DAILY = ("launcher-unquoted", "rates-swapped", "lease-release-believes-anything")


def test_there_are_enough_of_every_role() -> None:
    counts = Counter(fault.kind for fault in SEEDED_FAULTS)
    assert {role: counts[role] for role, least in LEAST_BY_ROLE.items() if counts[role] < least} == {}
    assert len(SEEDED_FAULTS) >= 60


def test_the_page_has_the_table() -> None:
    page = (ROOT / "docs" / "contracts.md").read_text("utf-8")
    assert [row for row in map(make_row, SEEDED_FAULTS) if row not in page] == []
    assert page.count("| `test_") == len(SEEDED_FAULTS)


@pytest.fixture(scope="module")
def tree() -> Iterator[TreeCopy]:
    with open_tree_copy() as made:
        yield made


@pytest.mark.parametrize(
    "fault", [one for one in SEEDED_FAULTS if one.name in DAILY], ids=lambda fault: fault.name
)
def test_the_contract_catches_it(tree: TreeCopy, fault: TestedRoot) -> None:
    (test,) = fault.tests
    assert find_failing_tests(fault, tree, whole=False) == [test.rpartition("::")[2]]
