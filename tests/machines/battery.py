"""Plays acts on a machine, and judges each cell by what the machine's data expects."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from tests.machines.acts import ACT_FUNCTIONS
from tests.machines.known_failures import KnownFailure, index_failures
from tests.machines.machine import ADOPT, OddMachine
from tests.machines.visit import COMMAND_SECONDS, KNOWN_SECONDS, ActFailed, Visit, visit

OK, LIMIT, KNOWN, FAILED, MENDED = "ok", "limit", "known failure", "FAILED", "MENDED"
KnownCells = Mapping[tuple[str, str], KnownFailure]
_CRASH = re.compile(r"gpurent itself failed|Traceback")


@frozen(kw_only=True)
class Cell:
    """What came of one act on one machine. ``words``: what was printed, or what is wrong."""

    machine: str
    act: str
    outcome: str
    words: str
    seconds: float

    @property
    def is_expected(self) -> bool:
        return self.outcome in (OK, LIMIT, KNOWN)


async def play_machine(
    odd: OddMachine, root: Path, acts: Sequence[str], known: KnownCells | None = None
) -> list[Cell]:
    """Boot the machine, adopt it and do ``acts`` on it; what cannot be adopted sees no other act."""
    cells: list[Cell] = []
    known = index_failures() if known is None else known
    async with visit(odd, root) as here:
        for act in dict.fromkeys((ADOPT, *acts)):
            began = time.monotonic()
            here.patience = (
                KNOWN_SECONDS if (odd.name, act) in known else COMMAND_SECONDS * (4 if odd.is_slow else 1)
            )
            failure = await _play(here, act)
            outcome, words = judge(odd, act, failure, known)
            seconds = round(time.monotonic() - began, 1)
            cells.append(Cell(machine=odd.name, act=act, outcome=outcome, words=words, seconds=seconds))
            if act == ADOPT and failure is not None:
                break
    return cells


async def _play(here: Visit, act: str) -> ActFailed | None:
    try:
        await ACT_FUNCTIONS[act](here)
    except ActFailed as failure:
        return failure
    return None


def judge(odd: OddMachine, act: str, failure: ActFailed | None, known: KnownCells) -> tuple[str, str]:
    """Return the outcome of a cell, and its words.

    It is right if the act was done, or, where the machine makes that impossible, if the product printed the limit as
    an error of its own. A known failure that has become right is MENDED: its line is to be removed.
    """
    outcome, words = _compare(odd.limits.get(act), failure)
    found = known.get((odd.name, act))
    if found is None:
        return outcome, words
    if outcome == FAILED or found.sometimes:
        return KNOWN, words or "not this time"
    return MENDED, f"now {outcome}; remove it from known_failures.py"


def _compare(limit: str | None, failure: ActFailed | None) -> tuple[str, str]:
    if failure is None:
        return (OK, "") if limit is None else (FAILED, f"it was done, although the limit is: {limit}")
    words = f"rc {failure.printed.code}: {failure.why or failure.printed.words}"
    if limit is None or failure.why or failure.printed.code in (0, None):
        return FAILED, words
    said = failure.printed.words
    is_named = any(part in said for part in limit.split("|")) and not _CRASH.search(said)
    return (LIMIT, said) if is_named else (FAILED, words)
