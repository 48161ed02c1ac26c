"""Puts the roots back one by one, each in a copy of the tree: ``python -m tests.roots [--only NAME...]``.

``--kind KIND...`` takes all roots of a finding, or of a kind of loss. The table of what caught them is printed; the
exit code is 1 if one was not caught, or if a test that is to catch one fails also in a copy without any.
``--search SEED...`` runs those seeds of a root's family instead, and prints the first few that catch it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.reliability.roots.answer_roots import ANSWER_ROOTS
from tests.reliability.roots.command_roots import COMMAND_ROOTS
from tests.reliability.roots.core_roots import CORE_ROOTS
from tests.reliability.roots.plugin_roots import PLUGIN_ROOTS
from tests.reliability.roots.price_roots import PRICE_ROOTS
from tests.reliability.roots.result_roots import RESULT_ROOTS
from tests.reliability.roots.tested_roots import LOSS_ROOTS
from tests.remote.roots.table import MACHINE_ROOTS
from tests.roots.root import Catch, FamilyRoot, Root, TestedRoot
from tests.roots.tree_copy import open_tree_copy
from tests.security.roots.access_roots import ACCESS_ROOTS
from tests.security.roots.computer_roots import COMPUTER_ROOTS
from tests.security.roots.file_roots import FILE_ROOTS
from tests.security.roots.money_roots import MONEY_ROOTS
from tests.security.roots.text_roots import TEXT_ROOTS
from tests.testing.seeded.table import SEEDED_FAULTS
from tests.windows.windows_roots import WINDOWS_ROOTS

MAX_FOUND = 3
MAX_TEXT = 60
FAMILY_ROOTS: Sequence[FamilyRoot] = (*CORE_ROOTS, *PLUGIN_ROOTS)
TESTED_ROOTS: Sequence[TestedRoot] = (
    *FILE_ROOTS,
    *ACCESS_ROOTS,
    *TEXT_ROOTS,
    *COMPUTER_ROOTS,
    *MONEY_ROOTS,
    *LOSS_ROOTS,
    *ANSWER_ROOTS,
    *PRICE_ROOTS,
    *RESULT_ROOTS,
    *COMMAND_ROOTS,
    *MACHINE_ROOTS,
    *WINDOWS_ROOTS,
    *SEEDED_FAULTS,
)
ROOTS: Sequence[Root] = (*FAMILY_ROOTS, *TESTED_ROOTS)
HEAD = (
    "| root | kind | what is put back | to be caught by | caught by | what was found | time |\n"
    "|---|---|---|---|---|---|---|"
)


def find_catch(root: Root) -> Catch:
    """Return what catches the root in a copy of the tree."""
    with open_tree_copy() as tree:
        tree.write_files(root.edit_sources(tree.top))
        return root.find_catch(tree)


def find_failing_tests(roots: Sequence[Root]) -> str:
    """Return what fails of the roots' tests in a copy without any root: such a test would catch everything."""
    tests = dict.fromkeys(test for root in roots if isinstance(root, TestedRoot) for test in root.tests)
    if not tests:
        return ""
    with open_tree_copy() as tree:
        ran = tree.run_tests(*tests)
    return ran.stdout if ran.returncode else ""


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=sorted(root.name for root in ROOTS), metavar="NAME")
    parser.add_argument("--kind", nargs="+", choices=sorted({root.kind for root in ROOTS}), metavar="KIND")
    parser.add_argument("--search", type=int, nargs="+", metavar="SEED")
    return parser.parse_args()


def _show_row(root: Root) -> bool:
    """Run one root, print its row, and return whether it was caught."""
    started = time.monotonic()
    caught = find_catch(root)
    seconds = time.monotonic() - started
    found = caught.what.partition(": " if isinstance(root, FamilyRoot) else "\n")[0].replace("|", "/")[
        :MAX_TEXT
    ]
    print(
        f"| {root.name} | {root.kind} | {root.summary} | {root.watcher} | {caught.where} | {found} | {seconds:.0f} s |",
        flush=True,
    )
    return bool(caught.where)


def _search_seeds(root: FamilyRoot, seeds: Sequence[int]) -> None:
    with open_tree_copy() as tree:
        tree.write_files(root.edit_sources(tree.top))
        for loss in root.find_losses(tree, seeds, MAX_FOUND):
            print(f"{root.name}: {root.family} {loss.where}: {loss.what[:200]}", flush=True)


def main() -> int:
    given = _parse_arguments()
    roots = [
        root
        for root in ROOTS
        if (given.only is None or root.name in given.only) and (given.kind is None or root.kind in given.kind)
    ]
    if given.search:
        for root in roots:
            if isinstance(root, FamilyRoot):
                _search_seeds(root, given.search)
        return 0
    failing = find_failing_tests(roots)
    if failing:
        print(failing)
        return 1
    print(HEAD)
    missed = [root.name for root in roots if not _show_row(root)]
    return min(1, len(missed))


if __name__ == "__main__":
    sys.exit(main())
