"""The suspending Store: other tasks run between any two of its calls, and locks still hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# In a process of its own, because every Store of the process is changed.
PROGRAM = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from gpurent.errors import BusyError
from gpurent.infra.sqlite.store import SqliteStore
from tests.suspending_store import install_suspensions

async def put_twice(store, name, order):
    for number in (1, 2):
        await store.put_plugin_text("p", name, str(number))
        order.append(f"{name}{number}")

async def main():
    store, order = SqliteStore(Path(sys.argv[1]), lambda: datetime.now(UTC)), []
    await asyncio.gather(put_twice(store, "a", order), put_twice(store, "b", order))
    print(" ".join(order))
    async with store.hold_lock("t1"):
        try:
            async with store.hold_lock("t1"):
                print("held twice")
        except BusyError:
            print("busy")
    store.close()

if "suspending" in sys.argv:
    install_suspensions()
    install_suspensions()
asyncio.run(main())
"""


def run_program(*arguments: str) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


def test_other_tasks_run_between_two_calls(tmp_path: Path) -> None:
    assert run_program(str(tmp_path / "one.sqlite")) == ["a1 a2 b1 b2", "busy"]
    assert run_program(str(tmp_path / "two.sqlite"), "suspending") == ["a1 b1 a2 b2", "busy"]
