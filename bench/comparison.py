"""One cell of the table: tools take turns in each round, and every result is checked by hash."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from attrs import define, field

from bench.datasets import MIB
from bench.peers import SLOW_PEERS

OURS = "gpurent"
DROP_RATIO = 1.4  # a peer slower than the best by this factor is not run again
MAX_PEERS = 4  # the most peers that are run again


@define
class ResultCell:
    """Seconds by tool; one that hit the cap has only the cap as its figure and is listed in ``capped``."""

    row: str
    link: str
    times: dict[str, list[float]] = field(factory=dict)
    capped: set[str] = field(factory=set)
    peak_kib: int = 0
    note: str = ""

    def median_seconds(self, tool: str) -> float:
        return median(self.times[tool])

    def best_peer(self) -> str:
        peers = [tool for tool in self.times if tool != OURS and tool not in self.capped]
        return min(peers, key=self.median_seconds, default="")

    def speed_ratio(self, tool: str = "") -> float:
        tool = tool or self.best_peer()
        return self.median_seconds(tool) / self.median_seconds(OURS) if tool else 0.0


_target_numbers = itertools.count()


def new_target_path(folder: Path) -> Path:
    """Return a new target: gpurent remembers where it pushed before, and lists the files there first."""
    return folder / f"target{next(_target_numbers)}"


def warm_up_memory(folder: Path, size: int) -> None:
    """Allocate memory beforehand: the first use of a page is slow, and would count against whichever tool comes first.

    Call it right before a run: a virtual machine returns free memory to its host within seconds.
    """
    block = bytes(MIB)
    with (folder / "touched").open("wb") as file:
        for _ in range(size // MIB):
            file.write(block)
    (folder / "touched").unlink()


def hash_folder(folder: Path) -> str:
    """Return a hash of names and contents."""
    made = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            made.update(f"{path.relative_to(folder)}\0".encode())
            with path.open("rb") as file:
                made.update(hashlib.file_digest(file, "sha256").digest())
    return made.hexdigest()


def time_command(command: str, cap: float) -> tuple[float, int, bool]:
    """Return seconds, peak memory in KiB (0 if the command does not print it) and whether it finished."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, shell=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        output, errors = process.communicate(timeout=cap)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return cap, 0, False
    took = time.perf_counter() - started
    if process.returncode:
        print(f"  failed: {command[:120]} ...\n  {errors.decode()[-400:]}")
        return took, 0, False
    return took, parse_peak_memory(output), True


def parse_peak_memory(output: bytes) -> int:
    try:
        return int(json.loads(output)["peak_kib"])
    except (ValueError, KeyError, TypeError):
        return 0


def select_contenders(cell: ResultCell, names: list[str]) -> list[str]:
    """Return the peers that may be the fastest of the cell."""
    best = cell.best_peer()
    done = [name for name in names if name != OURS and name not in cell.capped]
    done.sort(key=cell.median_seconds)
    return [
        name
        for name in done[:MAX_PEERS]
        if cell.median_seconds(name) < DROP_RATIO * cell.median_seconds(best)
    ]


def compare_tools(
    cell: ResultCell,
    tools: Mapping[str, Callable[[Path], str]],
    source: Path,
    folder: Path,
    *,
    prepare: Callable[[str, Path], None] | None = None,
    rounds: int = 3,
    limit: float = 9.0,
    clock: Mapping[str, Callable[[str, float], tuple[float, int, bool]]] | None = None,
) -> ResultCell:
    """Time ``tools``, which return a command for a new target; one that takes ``limit`` times our time is stopped."""
    expected = hash_folder(source)
    size = sum(path.stat().st_size for path in source.rglob("*"))
    names = [OURS, *(name for name in tools if name != OURS)]
    for turn in range(rounds):
        order = names if not turn else names[turn % len(names) :] + names[: turn % len(names)]
        for name in order:
            target = new_target_path(folder)
            if prepare is not None:
                prepare(name, target)
            our_time = min(cell.times.get(OURS, [10.0]))
            cap = min(max(8.0, (limit if name in SLOW_PEERS or name == OURS else 3.0) * our_time), 120.0)
            warm_up_memory(folder, size)
            took, memory, done = (clock or {}).get(name, time_command)(tools[name](target), cap)
            cell.times.setdefault(name, []).append(took)
            cell.peak_kib = max(cell.peak_kib, memory if name == OURS else 0)
            if not done:
                if name == OURS:
                    raise SystemExit(f"{OURS} failed in {cell.row}, {cell.link}")
                cell.capped.add(name)
            elif hash_folder(target) != expected:
                raise SystemExit(f"{name} brought something else in {cell.row}, {cell.link}")
            shutil.rmtree(target, ignore_errors=True)
            print(
                f"  {cell.row:<22} {cell.link:<30} {name:<28} {took:8.3f}{'' if done else ' (cap)'}",
                flush=True,
            )
        names = [OURS, *select_contenders(cell, names)]
    return cell
