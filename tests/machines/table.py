"""The table machine x act: printed from results, and as the page docs/machines.md, which is written from the data.

``python -m tests.machines.table`` prints the results at this commit, ``--write`` writes the page. As a plugin of
pytest, it prints the results at the end.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping

import pytest

from tests.command_line import ROOT
from tests.machines.battery import FAILED, KNOWN, LIMIT, MENDED, OK, Cell
from tests.machines.catalogue import GROUPS, MACHINES
from tests.machines.known_failures import KNOWN_FAILURES, index_failures
from tests.machines.machine import ACTS, ADOPT, OddMachine
from tests.machines.results import get_current_commit, read_cells

PAGE = ROOT / "docs" / "machines.md"
SIGNS = {OK: "✓", LIMIT: "–", KNOWN: "✗"}
_INTRO = """\
# Odd machines: what works on them

<!-- Written by `python -m tests.machines.table --write`; a test compares. -->

A rented machine is a stranger's computer. `tests/machines/` boots {machines} odd ones, each a real OpenSSH server in
bubblewrap with one thing about it that has broken such tools, and a user does {acts} things on each with the real
command line: adopts it; runs a program with difficult arguments; uploads a folder twice and downloads one with each
transfer backend; starts a job with each session backend, reads its log and exit code, attaches a terminal to it and
stops it; sets the machine's timer; forwards a port; lets the doctor look. What is on the machine afterwards is compared
from outside.

`make test-machines` plays all cells, appends each to `.machines.jsonl`, goes on where it ended as long as the code is
the same, and prints what became of them; `make test` plays a diagonal share. A cell passes if the act was done, or if
gpurent ended with an error that names the limit in the words below. A cell that behaves in another way fails, also one
of the known faults that starts to pass.

| sign | meaning | cells |
|---|---|---|
| {ok} | done | {oks} |
| {limit} | impossible there, and gpurent says so | {limits} |
| {known} | a known fault, see the end of this page | {knowns} |
| | not reached, since the machine cannot be adopted | {rest} |
"""


def _expect(odd: OddMachine, act: str) -> str:
    """Return the outcome that the data expect; empty where the act is not reached."""
    known = index_failures()
    for now in (ADOPT, act):
        if (odd.name, now) in known:
            return KNOWN if now == act else ""
        if now in odd.limits:
            return LIMIT if now == act else ""
    return OK


def format_page() -> str:
    """Return the whole page."""
    counts = Counter(_expect(odd, act) for odd in MACHINES.values() for act in ACTS)
    parts = [
        _INTRO.format(
            machines=len(MACHINES),
            acts=len(ACTS),
            ok=SIGNS[OK],
            limit=SIGNS[LIMIT],
            known=SIGNS[KNOWN],
            oks=counts[OK],
            limits=counts[LIMIT],
            knowns=counts[KNOWN],
            rest=counts[""],
        )
    ]
    for title, machines in GROUPS.items():
        rows = [("machine", *ACTS), ("---",) * (len(ACTS) + 1)]
        rows += [(odd.name, *(SIGNS.get(_expect(odd, act), "") for act in ACTS)) for odd in machines]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        described = "\n".join(f"* **{odd.name}**: {odd.summary}{_format_limits(odd)}" for odd in machines)
        parts.append(f"## {title}\n\n{described}\n\n{table}\n")
    if KNOWN_FAILURES:
        lines = [f"* **{one.machine}** ({', '.join(one.acts)}): {one.reason}" for one in KNOWN_FAILURES]
        parts.append("## Known faults\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _format_limits(odd: OddMachine) -> str:
    by_words: dict[str, list[str]] = {}
    for act in ACTS:
        if act in odd.limits:
            by_words.setdefault(odd.limits[act], []).append(act)
    return "".join(
        f"; {', '.join(acts)}: “{words.replace('|', '” or “')}”" for words, acts in by_words.items()
    )


def format_results(cells: Mapping[tuple[str, str], Cell]) -> str:
    """Return a line for each machine, the sum, and what is not as expected."""
    width = max(map(len, MACHINES))
    signs = {**SIGNS, FAILED: "F", MENDED: "M"}
    lines = [" " * width + "  " + " ".join(f"{number:2}" for number in range(1, len(ACTS) + 1))]
    for name in MACHINES:
        found = [cells.get((name, act)) for act in ACTS]
        if any(found):
            shown = (signs[cell.outcome] if cell else "" for cell in found)
            lines.append(f"{name:{width}}  " + " ".join(f"{sign:>2}" for sign in shown).rstrip())
    lines.append("   ".join(f"{number} {act}" for number, act in enumerate(ACTS, 1)))
    count = {outcome: sum(cell.outcome == outcome for cell in cells.values()) for outcome in signs}
    lines.append(", ".join(f"{number} {outcome}" for outcome, number in count.items() if number))
    lines += [
        f"{cell.machine}, {cell.act}: {cell.outcome}: {cell.words}"
        for cell in cells.values()
        if not cell.is_expected
    ]
    return "\n".join(lines)


class MachinesPlugin:
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if cells := read_cells(get_current_commit()):
            terminalreporter.section("machine x act")
            terminalreporter.line(format_results(cells))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(MachinesPlugin())


def main() -> None:
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(format_page(), encoding="utf-8")
        return
    print(format_results(read_cells(sys.argv[1] if sys.argv[1:] else get_current_commit())))


if __name__ == "__main__":
    main()
