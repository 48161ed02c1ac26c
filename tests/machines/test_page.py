"""The page docs/machines.md is what the data say, and the data are consistent."""

from __future__ import annotations

from collections import Counter

from tests.machines.battery import FAILED, KNOWN, LIMIT, MENDED, OK, judge
from tests.machines.catalogue import GROUPS, MACHINES
from tests.machines.known_failures import KNOWN_FAILURES, KnownFailure, index_failures
from tests.machines.machine import ACTS, ADOPT, OddMachine
from tests.machines.table import PAGE, format_page
from tests.machines.visit import ActFailed, Printed

ODD = OddMachine(name="odd", summary="odd", limits={"exec": "not possible there"})


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == format_page(), "python -m tests.machines.table --write"


def test_names_are_unique_and_acts_exist() -> None:
    assert sum(map(len, GROUPS.values())) == len(MACHINES) >= 30
    for odd in MACHINES.values():
        assert set(odd.limits) <= set(ACTS), odd.name
        assert ADOPT not in odd.limits or len(odd.limits) == 1, "the rest is not reached"
    counts = Counter((known.machine, act) for known in KNOWN_FAILURES for act in known.acts)
    assert set(counts.values()) <= {1}
    assert {name for name, _act in index_failures()} <= set(MACHINES)
    assert {act for _name, act in index_failures()} <= set(ACTS)


def fail(code: int | None, err: str, why: str = "") -> ActFailed:
    return ActFailed(Printed("exec", code, "", err), why)


def test_a_cell_passes_if_it_was_done_or_if_the_limit_was_named() -> None:
    assert judge(ODD, "logs", None, {})[0] == OK
    assert judge(ODD, "logs", fail(7, "Error: no"), {})[0] == FAILED
    assert judge(ODD, "exec", fail(7, "Error: not possible there"), {})[0] == LIMIT
    assert judge(ODD, "exec", fail(7, "Error: something else"), {})[0] == FAILED
    assert judge(ODD, "exec", fail(0, "not possible there"), {})[0] == FAILED, "it is no error"
    assert judge(ODD, "exec", fail(None, "not possible there"), {})[0] == FAILED, "it was stuck"
    assert judge(ODD, "exec", fail(1, "gpurent itself failed: not possible there"), {})[0] == FAILED
    assert judge(ODD, "exec", None, {})[0] == FAILED, "the limit is no more"


def test_a_known_failure_that_passes_is_reported() -> None:
    known = index_failures((KnownFailure("odd", ("logs", "exec"), "why"),))
    assert judge(ODD, "logs", fail(7, "Error: no"), known)[0] == KNOWN
    assert judge(ODD, "logs", None, known)[0] == MENDED
    assert judge(ODD, "exec", fail(7, "Error: not possible there"), known)[0] == MENDED
    assert judge(ODD, "exec", None, known)[0] == KNOWN, "the limit is not named"
    at_times = index_failures((KnownFailure("odd", ("logs",), "why", sometimes=True),))
    assert judge(ODD, "logs", None, at_times)[0] == KNOWN
