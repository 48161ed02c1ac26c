"""The figures as tables."""

from __future__ import annotations

from pathlib import Path

from bench.peers import SLOW
from bench.race import OURS, Cell

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
GOALS = {
    "a": (1.3, 1.0, 1.0), "b": (1.3, 1.1, 1.1), "c": (1.3, 1.0, 1.0), "d": (1.2, 1.1, 1.1),
    "d held": (1.2, 1.2, 1.2), "c same": (1.2, 1.2, 1.2), "d same": (1.2, 1.2, 1.2),
    "c 1 %": (1.2, 1.2, 1.2), "d 1 %": (1.2, 1.2, 1.2),
}  # fmt: skip
ORDER = ("raw loopback", "20 ms, 200 Mbit/s", "50 ms, 50 Mbit/s, 0.1 % loss")


def seconds(time: float) -> str:
    """Three decimals where a hundredth would be more than a thousandth of it."""
    return f"{time:.3f}" if time < 10 else f"{time:.2f}"


def span(times: list[float]) -> str:
    return f"{seconds(min(times))}-{seconds(max(times))}"


def summary(cells: list[Cell]) -> list[str]:
    lines = [
        "| link | data | gpurent, s (min-max) | best peer, s (min-max) | | ratio | goal | slow peers | client, MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        if cell.row == "a resumed":
            took = seconds(cell.middle(OURS))
            lines.append(f"| {cell.wire} | a after a kill at half | {took} | | {cell.note} | | <= 1 % | | |")
            continue
        best = cell.best()
        slow = [
            f"{name} {'> ' if name in cell.capped else ''}{cell.ratio(name):.1f}x"
            for name in SLOW
            if name in cell.times
        ]
        goal = GOALS[cell.row][ORDER.index(cell.wire)]
        lines.append(
            f"| {cell.wire} | {cell.row} | {seconds(cell.middle(OURS))} ({span(cell.times[OURS])}) | "
            f"{seconds(cell.middle(best))} ({span(cell.times[best])}) | {best} | "
            f"{cell.ratio():.2f}x | {goal:.2f}x | {', '.join(slow)} | {cell.memory / 1024:.0f} |"
            if best
            else f"| {cell.wire} | {cell.row} | {seconds(cell.middle(OURS))} | | | | {goal:.2f}x | | |"
        )
    return lines


def details(cells: list[Cell]) -> list[str]:
    lines = [
        "| link | data | medians of all, s (a cap stands as >; what was far behind ran once) |",
        "|---|---|---|",
    ]
    for cell in cells:
        told = [
            f"{name} {'>' if name in cell.capped else ''}{seconds(cell.middle(name))}"
            for name in sorted(cell.times, key=cell.middle)
        ]
        lines.append(f"| {cell.wire} | {cell.row} | {', '.join(told)} |")
    return lines


def write(cells: list[Cell], page: Path | None) -> None:
    text = "\n".join([*summary(cells), "", *details(cells)])
    print(text)
    if page is None:
        return
    old = page.read_text()
    head, _, rest = old.partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
