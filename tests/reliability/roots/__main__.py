"""Puts the roots back one by one, each in a copy of the tree: ``python -m tests.reliability.roots [--only NAME]``.

The table of what the families caught is printed; the exit code is 1 if one was missed. ``--search SEED...`` runs those
seeds of the family instead, and prints the first few that catch the root.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from tests.reliability.roots.core_roots import CORE_ROOTS
from tests.reliability.roots.plugin_roots import PLUGIN_ROOTS
from tests.reliability.roots.root import Root, copy_tree

MAX_FOUND = 3
ROOTS = (*CORE_ROOTS, *PLUGIN_ROOTS)
HEAD = (
    "| root | kind | what is put back | family | seed | what was lost | time |\n|---|---|---|---|---|---|---|"
)


@frozen
class Loss:
    seed: int
    text: str


def find_losses(root: Root, seeds: Sequence[int], limit: int) -> list[Loss]:
    """Return what the seeds of the root's family lose with the root, of at most ``limit`` seeds."""
    with tempfile.TemporaryDirectory(prefix="gpr-root-", ignore_cleanup_errors=True) as name:
        top = Path(name)
        environment = copy_tree(top)
        for path, text in root.edit_sources(top).items():
            path.write_text(text, "utf-8")
        command = [sys.executable, "-m", "tests.reliability.roots.lost_seeds", root.family, *map(str, seeds)]
        command += ["--limit", str(limit)]
        ran = subprocess.run(command, cwd=top, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    return [Loss(one["seed"], "; ".join(one["losses"])) for one in found if one["losses"]]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=sorted(root.name for root in ROOTS), metavar="NAME")
    parser.add_argument("--search", type=int, nargs="+", metavar="SEED")
    return parser.parse_args()


def _show_row(root: Root) -> bool:
    """Run one root, print its row, and return whether it was caught."""
    started = time.monotonic()
    caught = find_losses(root, root.seeds, 1)
    seed, lost = (str(caught[0].seed), caught[0].text.partition(":")[0]) if caught else ("", "not caught")
    seconds = time.monotonic() - started
    print(
        f"| {root.name} | {root.kind} | {root.summary} | {root.family} | {seed} | {lost} | {seconds:.0f} s |",
        flush=True,
    )
    return bool(caught)


def main() -> int:
    given = _parse_arguments()
    roots = [root for root in ROOTS if given.only in (None, root.name)]
    if given.search:
        for root in roots:
            for loss in find_losses(root, given.search, MAX_FOUND):
                print(f"{root.name}: {root.family} {loss.seed}: {loss.text[:200]}", flush=True)
        return 0
    print(HEAD)
    missed = [root.name for root in roots if not _show_row(root)]
    return min(1, len(missed))


if __name__ == "__main__":
    sys.exit(main())
