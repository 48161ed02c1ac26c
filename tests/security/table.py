"""Prints the attacks as the Markdown table of `docs/security.md`: ``python -m tests.security.table``.

With ``--write`` the table is written into the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tests.security.attacks import ATTACKS, Adversary, Attack

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
HEAD = "| adversary | attack | what happens | test |\n|---|---|---|---|"


def load_attacks() -> Sequence[Attack]:
    """Return every attack of this package's tests, by adversary."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        import_module(f"tests.security.{path.stem}")
    order = list(Adversary)
    # A module that pytest has imported under the same name is not imported again.
    return sorted(dict.fromkeys(ATTACKS), key=lambda attack: (order.index(attack.adversary), attack.test))


def format_table(attacks: Sequence[Attack]) -> str:
    rows = [f"| {one.adversary.value} | {one.what} | {one.outcome.value} | `{one.test}` |" for one in attacks]
    return "\n".join([HEAD, *rows])


def write_table(table: str) -> None:
    marks = re.compile("(?s)(<!-- attacks -->\n).*(<!-- end -->)")
    PAGE.write_text(
        marks.sub(lambda found: f"{found[1]}{table}\n{found[2]}", PAGE.read_text("utf-8")), "utf-8"
    )


if __name__ == "__main__":
    made = format_table(load_attacks())
    if "--write" in sys.argv[1:]:
        write_table(made)
    else:
        print(made)
