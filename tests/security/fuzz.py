"""Random hostile inputs, 10^5 of each kind: ``python -m tests.security.fuzz`` runs all and prints a table.

A seed has 1,000 inputs. ``--family`` and ``--seed`` repeat one seed and show what broke a rule; results are appended to
the file of `tests.reliability.harness`, and what has a result at this commit is not run again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from functools import cache
from random import Random
from threading import Lock
from typing import Any

from tests.command_line import ROOT
from tests.nightly import get_commit
from tests.reliability.judge import Loss
from tests.reliability.results import SeedResult
from tests.security.fuzzing.mails import MAILS
from tests.security.fuzzing.project_files import PROJECT_FILES
from tests.security.fuzzing.rules import FuzzFamily, FuzzResult, run_cases
from tests.security.fuzzing.service_answers import LISTINGS, NODE_ANSWERS
from tests.security.fuzzing.ssh_lines import SSH_LINES

CASES_PER_SEED = 1_000
SEEDS = 100
PREFIX = "fuzz-"
SHOWN_LOSSES = 20
_LOCK = Lock()
FUZZ_FAMILIES = (MAILS, SSH_LINES, PROJECT_FILES, LISTINGS, NODE_ANSWERS)


@cache
def _open_cases(family: FuzzFamily) -> Callable[[Random], str]:
    return family.open_cases()


def try_seed(family: FuzzFamily, seed: int, count: int = CASES_PER_SEED) -> FuzzResult:
    """Try the inputs of one seed. What all of a family share is made once in this process, so one thread at a time."""
    with _LOCK:
        return run_cases(family.name, _open_cases(family), seed, count)


def make_run_seed(family: FuzzFamily) -> Callable[[int], Coroutine[Any, Any, SeedResult]]:
    """Return the family as `tests.reliability.families` runs it: in a thread, as plugins bring their own loops."""

    async def run_seed(seed: int) -> SeedResult:
        found = await asyncio.to_thread(try_seed, family, seed)
        return SeedResult(
            tried=found.tried,
            lost=len(found.breaches),
            losses=tuple(Loss(kind="rule broken", text=str(one)) for one in found.breaches[:SHOWN_LOSSES]),
            history=(", ".join(f"{number} {what}" for what, number in found.outcomes.most_common()),),
        )

    return run_seed


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", choices=[family.name for family in FUZZ_FAMILIES], help="default: all")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


def main() -> int:
    from tests.reliability.harness import run_families, run_one
    from tests.reliability.table import print_table

    given = _parse_arguments()
    names = [PREFIX + family.name for family in FUZZ_FAMILIES if given.family in (None, family.name)]
    if given.seed is not None:
        return max(run_one(name, given.seed) for name in names)
    lost = run_families(names, given.jobs)
    print_table(get_commit(ROOT), names)
    return lost


if __name__ == "__main__":
    sys.exit(main())
