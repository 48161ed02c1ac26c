"""Shows all that catches a seeded fault: ``python -m tests.testing.seeded [--only NAME...] [--whole]``.

One copy of the tree is used for all. ``--whole`` runs the plugin's whole contract of the day, not only the named test;
the table that must hold is printed by ``python -m tests.roots``.
"""

from __future__ import annotations

import argparse
import re
import sys
import time

from tests.roots.root import TestedRoot
from tests.roots.tree_copy import TreeCopy, open_tree_copy
from tests.testing.seeded.table import SEEDED_FAULTS

_FAILED = re.compile(r"^FAILED \S+::(?P<test>\w+)", re.MULTILINE)
HEAD = "| fault | role | what is wrong | caught by | time |\n|---|---|---|---|---|"


def find_failing_tests(fault: TestedRoot, tree: TreeCopy, *, whole: bool) -> list[str]:
    """Return the contract tests that fail with the fault, in a tree that is as before afterwards."""
    before = {tree.top / edit.path: (tree.top / edit.path).read_text("utf-8") for edit in fault.edits}
    (named,) = fault.tests
    tests = (named.rpartition("::")[0], "-m", "not nightly") if whole else (named, "-m", "")
    tree.write_files(fault.edit_sources(tree.top))
    try:
        flags = ("-q", "-rf", "--tb=no", "-p", "no:cacheprovider")
        ran = tree.run_python("-m", "pytest", *flags, *tests)
    finally:
        tree.write_files(before)
    return sorted(set(_FAILED.findall(ran.stdout)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME")
    parser.add_argument("--whole", action="store_true")
    given = parser.parse_args()
    missed = 0
    print(HEAD)
    with open_tree_copy() as tree:
        for fault in SEEDED_FAULTS:
            if given.only and fault.name not in given.only:
                continue
            started = time.monotonic()
            found = find_failing_tests(fault, tree, whole=given.whole)
            missed += not found
            caught = ", ".join(f"`{name}`" for name in found) or "**nothing**"
            seconds = time.monotonic() - started
            print(
                f"| {fault.name} | {fault.kind} | {fault.summary} | {caught} | {seconds:.0f} s |", flush=True
            )
    return min(1, missed)


if __name__ == "__main__":
    sys.exit(main())
