"""A warmed-up process that forks one client at a time and lets it be killed at a requested point.

Speaks JSON lines on stdin and stdout: ``{"environment", "home", "want" | "resume" | "watch", "spare": [points]}`` in;
``{"died": point}``, ``{"end": …}`` or ``{"error": …}`` out. A point is ``step:begun`` (the intent is written, nothing
done), ``step:effect`` (done, not recorded) or ``step:recorded``. The client is killed by SIGKILL at the first point
that is not spared; with ``"share": 3`` only every third point kills, with 0 none. With ``"clock"`` (the path of a
shared clock) waiting takes no time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import asyncssh  # noqa: F401 - warmed before the fork

from gpurent.composition.application import Application
from gpurent.composition.state import ExternalDependencies
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.infra.sqlite.codec import loads
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.testing.fakes.shared_clock import SharedClockClient
from gpurent.testing.fakes.virtual_time import VirtualTimeLoop
from gpurent.testing.fakes.virtual_time_http import VirtualTimeHttp
from tests import suspending_store
from tests.fork_server import import_everything
from tests.workflow.trip_sandbox import ScriptedUser


def is_kill_point(point: str, share: int) -> bool:
    """Return whether a client may be killed at ``point``: one in ``share`` points, always the same; 0: none."""
    return share > 0 and crc32(point.encode()) % share == 0


class KillingStore(SqliteStore):
    """A store that kills its own process at the first point that is not spared."""

    spared_points: frozenset[str] = frozenset()
    share = 1
    pipe = -1

    def _kill_at(self, step: str, phase: str) -> None:
        point = f"{step}:{phase}"
        if point in self.spared_points or not is_kill_point(point, self.share):
            return
        os.write(self.pipe, json.dumps({"died": point}).encode())
        os.kill(os.getpid(), signal.SIGKILL)

    async def begin_step(self, trip_id: str, step: str) -> None:
        await super().begin_step(trip_id, step)
        self._kill_at(step, "begun")

    async def record_step(self, trip_id: str, step: str, value: object) -> None:
        self._kill_at(step, "effect")
        await super().record_step(trip_id, step, value)
        self._kill_at(step, "recorded")


async def run_task(
    task: dict[str, Any], registry: EntryPointRegistry, pipe: int, clock: SharedClockClient | None
) -> dict[str, Any]:
    outside = ExternalDependencies(open_store=KillingStore)
    if clock is not None:
        outside = ExternalDependencies(open_store=KillingStore, clock=clock, wrap_http=VirtualTimeHttp)
    KillingStore.spared_points, KillingStore.share, KillingStore.pipe = (
        frozenset(task["spare"]),
        task.get("share", 1),
        pipe,
    )
    application = Application(registry, Path(task["home"]), task["environment"], ScriptedUser(), outside)
    try:
        if task.get("watch"):
            observed = (await application.guard.run_once()).results
            return {"end": 0, "trouble": [item.failure for item in observed if item.failure]}
        if "want" in task and not await application.trip_tracker.list_trips():
            end = await application.trips.run(loads(task["want"], TripSpec))
        else:
            end = await application.trips.resume((await application.trip_tracker.list_trips())[-1].id)
    except GpurentError as error:
        return {"error": error.message, "code": error.code, "burning": list(error.burning)}
    finally:
        await application.aclose()
    return {"end": end.exit_code, "lease": end.lease_id, "trip": end.trip_id}


def run_child(task: dict[str, Any], registry: EntryPointRegistry, pipe: int) -> None:
    clock = SharedClockClient(Path(task["clock"])) if "clock" in task else None
    loop_factory = None if clock is None else partial(VirtualTimeLoop, clock)
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            answer = runner.run(run_task(task, registry, pipe, clock))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        answer = {"crash": f"{type(error).__name__}: {error}"}
    os.write(pipe, json.dumps(answer).encode())


def main() -> None:
    registry = import_everything("composition", "infra", "workflow")
    suspending_store.install_if_wanted()
    for line in sys.stdin:
        task = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            run_child(task, registry, writing)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(pid, 0)
        sys.stdout.write((answer.decode() or '{"crash": "no word"}') + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
