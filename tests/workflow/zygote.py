"""A warmed process that forks one client at a time and lets it die where it is told to.

Speaks JSON lines on stdin and stdout: ``{"environment", "home", "want" | "resume" | "watch", "spare": [points]}`` in;
``{"died": point}``, ``{"end": …}`` or ``{"error": …}`` out. A point is ``step:begun`` (the intent is written, nothing
done), ``step:effect`` (done, not recorded) or ``step:recorded``. The client dies by SIGKILL at the first
point that is not spared.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import asyncssh  # noqa: F401 - warmed before the fork

from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError
from gpurent.infra.registry import plain
from gpurent.infra.registry.registry import Registry
from gpurent.infra.sqlite.codec import loads
from gpurent.infra.sqlite.journal import Journal
from gpurent.workflow.guard.scheduler import Guard
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.trips.operations import Service
from tests.workflow.world import Person


class Dying(Journal):
    """A journal that kills its own process at the first point that was not spared."""

    spare: frozenset[str] = frozenset()
    pipe = -1

    def _point(self, step: str, phase: str) -> None:
        point = f"{step}:{phase}"
        if point in self.spare or "*:*" in self.spare:
            return
        os.write(self.pipe, json.dumps({"died": point}).encode())
        os.kill(os.getpid(), signal.SIGKILL)

    def begin(self, trip: str, step: str) -> None:
        super().begin(trip, step)
        self._point(step, "begun")

    def record(self, trip: str, step: str, value: object) -> None:
        self._point(step, "effect")
        super().record(trip, step, value)
        self._point(step, "recorded")


async def live(task: dict[str, Any], registry: Registry, pipe: int) -> dict[str, Any]:
    person = Person()
    desk = Desk(registry, Path(task["home"]), person, task["environment"])
    desk.journal.close()
    desk.journal = Dying(Path(task["home"]) / "journal.sqlite", desk.clock.now)
    desk.journal.spare, desk.journal.pipe = frozenset(task["spare"]), pipe
    service = Service(desk)
    try:
        if task.get("watch"):
            looked = await Guard.of(service).once()
            return {"end": 0, "trouble": [item.trouble for item in looked if item.trouble]}
        if "want" in task and not service.trips():
            end = await service.run(loads(task["want"], TripSpec))
        else:
            end = await service.resume(service.trips()[-1].id)
    except GpurentError as error:
        return {"error": error.message, "code": error.code, "burning": list(error.burning)}
    finally:
        await desk.close()
    return {"end": end.exit_code, "lease": end.lease, "trip": end.trip}


def child(task: dict[str, Any], registry: Registry, pipe: int) -> None:
    try:
        answer = asyncio.run(live(task, registry, pipe))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        answer = {"crash": f"{type(error).__name__}: {error}"}
    os.write(pipe, json.dumps(answer).encode())


def main() -> None:
    registry = Registry.load(builtin=[plain])
    for entry in (*registry.lease.values(), *registry.transfer.values(), *registry.session.values()):
        __import__(entry.build.__module__)
    for line in sys.stdin:
        task = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            child(task, registry, writing)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(pid, 0)
        sys.stdout.write((answer.decode() or '{"crash": "no word"}') + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
