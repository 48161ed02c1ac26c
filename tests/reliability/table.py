"""Prints the results at one commit as a Markdown table: ``python -m tests.reliability.table [COMMIT]``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tests.command_line import ROOT
from tests.nightly import get_commit
from tests.reliability.batches import list_batches
from tests.reliability.families import FAMILIES
from tests.reliability.harness import RESULTS

HEAD = "| family | what happens | tried | survived | lost | time | command |\n|---|---|---|---|---|---|---|"


def format_table(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the table and, below it, each lost seed. A batch that was run twice counts by its last result."""
    last = {(entry["family"], entry["first"], entry["last"]): entry for entry in entries}
    rows, losses = [HEAD], []
    for name, family in FAMILIES.items():
        found = [entry for key, entry in last.items() if key[0] == name]
        if not found:
            continue
        tried, lost = (sum(entry[key] for entry in found) for key in ("tried", "lost"))
        missing = len(list_batches([name])) - len(found)
        rest = f" ({missing} batches are missing)" if missing else ""
        seconds = sum(entry["seconds"] for entry in found)
        command = f"`python -m tests.reliability.harness --family {name}`"
        rows.append(
            f"| {name} | {family.summary} | {tried:,}{rest} | {tried - lost:,} | {lost:,} |"
            f" {seconds / 60:.0f} min | {command} |"
        )
        losses += [
            f"- {name}, seed {item['seed']}: {'; '.join(item['losses'])}"
            for entry in found
            for item in entry["losses"]
        ]
    return "\n".join([*rows, "", *losses])


def print_table(commit: str, names: Collection[str] = tuple(FAMILIES)) -> None:
    """Print the results of some families at one commit."""
    print(f"Commit {commit}; time of the batches, of which several run at once.\n")
    entries = RESULTS.read(commit)
    print(format_table([entry for entry in entries if entry["family"] in names]))


def main() -> None:
    print_table(sys.argv[1] if len(sys.argv) > 1 else get_commit(ROOT))


if __name__ == "__main__":
    main()
