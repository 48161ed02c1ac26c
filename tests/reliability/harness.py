"""Runs the families: ``python -m tests.reliability.harness --family R1-await --seed 7`` repeats one seed.

Without ``--seed`` all seeds of a night are run, of one family or of all, in ``--jobs`` processes, ``--share K/N`` of
them; results are appended to ``.reliability.jsonl``, and what has a result at this commit is not run again. A night
that takes several computers, one after the other, keeps what it has in ``docs/nights/``, which is no part of the code.
``python -m tests.reliability.table`` prints them as a table.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from tests.command_line import ROOT
from tests.nightly import get_commit
from tests.reliability.batches import BatchResult, ResultsFile, list_batches, run_batches
from tests.reliability.families import FAMILIES

RESULTS = ResultsFile(ROOT / ".reliability.jsonl", ROOT / "docs" / "nights")


def _parse_share(text: str) -> tuple[int, int]:
    part, _slash, parts = text.partition("/")
    share = int(part), int(parts)
    if not 1 <= share[0] <= share[1]:
        raise argparse.ArgumentTypeError("K/N, with K from 1 to N")
    return share


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", choices=sorted(FAMILIES), help="default: all")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--share", type=_parse_share, default=(1, 1), metavar="K/N")
    return parser.parse_args()


def run_one(family: str, seed: int) -> int:
    """Run one seed and print what happened; return 1 if something was lost."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    result = asyncio.run(FAMILIES[family].run_seed(seed))
    print("\n".join(result.history))
    for loss in result.losses:
        print(f"LOST {loss}")
    print(f"{family}, seed {seed}: {result.tried} tried, {result.lost} lost")
    return min(1, result.lost)


def _show(result: BatchResult) -> None:
    print(
        f"{result.family} {result.first}-{result.last}: {result.tried} tried, {result.lost} lost,"
        f" {result.seconds} s"
    )
    for item in result.losses:
        command = f"python -m tests.reliability.harness --family {result.family} --seed {item['seed']}"
        print(f"  LOST {'; '.join(item['losses'])}\n    {command}")
    sys.stdout.flush()


def run_families(names: Sequence[str], jobs: int, share: tuple[int, int] = (1, 1)) -> int:
    """Run what has no result at this commit yet, and keep the results; return 1 if something was lost."""
    commit, file = get_commit(ROOT), RESULTS
    batches = list_batches(names, share)
    missing = batches if commit.endswith("+") else file.list_missing(commit, batches)
    print(f"{len(missing)} batches of {len(batches)}, the others have results at this commit")
    lost = 0
    for result in run_batches(missing, jobs):
        file.append(commit, result)
        lost += result.lost
        _show(result)
    return min(1, lost)


def main() -> int:
    given = _parse_arguments()
    if given.seed is not None:
        if given.family is None:
            sys.exit("--seed needs --family")
        return run_one(given.family, given.seed)
    names = [given.family] if given.family is not None else list(FAMILIES)
    return run_families(names, given.jobs, given.share)


if __name__ == "__main__":
    sys.exit(main())
