"""The results as tables."""

from __future__ import annotations

from pathlib import Path

from bench.comparison import OURS, ResultCell
from bench.peers import SLOW_PEERS

BEGIN_MARK, END_MARK = "<!-- measured: begin -->", "<!-- measured: end -->"
GOALS = {
    "a": (1.3, 1.0, 1.0), "b": (1.3, 1.1, 1.1), "c": (1.3, 1.0, 1.0), "d": (1.2, 1.1, 1.1),
    "d held": (1.2, 1.2, 1.2), "c same": (1.2, 1.2, 1.2), "d same": (1.2, 1.2, 1.2),
    "c 1 %": (1.2, 1.2, 1.2), "d 1 %": (1.2, 1.2, 1.2),
}  # fmt: skip
LINK_ORDER = ("raw loopback", "20 ms, 200 Mbit/s", "50 ms, 50 Mbit/s, 0.1 % loss")


def format_seconds(time: float) -> str:
    """Return the time with three decimals below 10 s, where a hundredth is more than a thousandth of it."""
    return f"{time:.3f}" if time < 10 else f"{time:.2f}"


def format_range(times: list[float]) -> str:
    return f"{format_seconds(min(times))}-{format_seconds(max(times))}"


def format_summary(cells: list[ResultCell]) -> list[str]:
    lines = [
        "| link | data | gpurent, s (min-max) | best peer, s (min-max) | | ratio | goal | slow peers | client, MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        if cell.row == "a resumed":
            took = format_seconds(cell.median_seconds(OURS))
            lines.append(f"| {cell.link} | a after a kill at half | {took} | | {cell.note} | | <= 1 % | | |")
            continue
        best = cell.best_peer()
        slow = [
            f"{name} {'> ' if name in cell.capped else ''}{cell.speed_ratio(name):.1f}x"
            for name in SLOW_PEERS
            if name in cell.times
        ]
        goal = GOALS[cell.row][LINK_ORDER.index(cell.link)]
        lines.append(
            f"| {cell.link} | {cell.row} "
            f"| {format_seconds(cell.median_seconds(OURS))} ({format_range(cell.times[OURS])}) | "
            f"{format_seconds(cell.median_seconds(best))} ({format_range(cell.times[best])}) | {best} | "
            f"{cell.speed_ratio():.2f}x | {goal:.2f}x | {', '.join(slow)} | {cell.peak_kib / 1024:.0f} |"
            if best
            else f"| {cell.link} | {cell.row} | {format_seconds(cell.median_seconds(OURS))} | | | | {goal:.2f}x | | |"
        )
    return lines


def format_details(cells: list[ResultCell]) -> list[str]:
    lines = [
        "| link | data | medians of all, s (a cap stands as >; what was far behind ran once) |",
        "|---|---|---|",
    ]
    for cell in cells:
        summary_lines = [
            f"{name} {'>' if name in cell.capped else ''}{format_seconds(cell.median_seconds(name))}"
            for name in sorted(cell.times, key=cell.median_seconds)
        ]
        lines.append(f"| {cell.link} | {cell.row} | {', '.join(summary_lines)} |")
    return lines


def write_report(cells: list[ResultCell], page: Path | None) -> None:
    text = "\n".join([*format_summary(cells), "", *format_details(cells)])
    print(text)
    if page is None:
        return
    old = page.read_text()
    head, _, rest = old.partition(BEGIN_MARK)
    _, _, tail = rest.partition(END_MARK)
    page.write_text(f"{head}{BEGIN_MARK}\n{text}\n{END_MARK}{tail}")
