"""Process descendants, read from /proc, elsewhere from ``ps``."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpurent.child_processes import run_program

if TYPE_CHECKING:
    from gpurent.child_processes import StartedProgram


def list_descendants(pid: int) -> list[int]:
    """Return all living descendants, parents first, without threads and zombies."""
    tree = _children_by_parent()
    found = list(tree.get(pid, ()))
    for child in found:
        found += tree.get(child, ())
    return found


def signal_tree(pid: int, number: signal.Signals) -> None:
    """Send a signal to all descendants, repeatedly until no new one appears."""
    reached: set[int] = set()
    while fresh := set(list_descendants(pid)) - reached:
        for child in fresh:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, number)
        reached |= fresh


async def wait_for_exit(process: "StartedProgram") -> None:
    """Wait for a process that has ended or is about to end."""
    while process.poll() is None:  # noqa: ASYNC110  a child watcher is not worth its thread here
        await asyncio.sleep(0.002)


def _children_by_parent() -> dict[int, list[int]]:
    tree: dict[int, list[int]] = {}
    for parent, child in _read_proc_pairs() if sys.platform == "linux" else _read_ps_pairs():
        tree.setdefault(parent, []).append(child)
    return tree


def _read_proc_pairs() -> list[tuple[int, int]]:
    pairs = []
    for name in os.listdir("/proc"):  # noqa: PTH208  twice as quick, and this is polled
        if name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    pairs.append((int(parent), int(name)))
    return pairs


def _read_ps_pairs() -> list[tuple[int, int]]:
    listing = run_program(["ps", "-axo", "ppid=,pid=,stat="], environment={}).stdout
    rows = [line.split() for line in listing.splitlines()]
    return [(int(parent), int(child)) for parent, child, state in rows if not state.startswith("Z")]
