"""What the battery found: a line of ``.machines.jsonl`` for each cell, with the commit and the time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from attrs import asdict

from tests.command_line import ROOT
from tests.machines.battery import Cell
from tests.nightly import get_commit

RESULTS_PATH = ROOT / ".machines.jsonl"


@cache
def get_current_commit() -> str:
    return get_commit(ROOT)


def append_cells(cells: Sequence[Cell], path: Path = RESULTS_PATH) -> None:
    """Append the cells, in one write: several processes do this at once."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    lines = [json.dumps({"commit": get_current_commit(), "at": at, **asdict(cell)}) for cell in cells]
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def read_cells(commit: str, path: Path = RESULTS_PATH) -> Mapping[tuple[str, str], Cell]:
    """Return the last result of each cell at that commit. A truncated line is ignored."""
    found: dict[tuple[str, str], Cell] = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.pop("commit") == commit:
            entry.pop("at")
            cell = Cell(**entry)
            found[cell.machine, cell.act] = cell
    return found
