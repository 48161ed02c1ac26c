"""A guard beside a test, and what its user was shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.workflow.guard.scheduler import Guard
from tests.workflow.trip_sandbox import ScriptedUser

EXPECTED_ORDER = [EventKind.WARNING, EventKind.RESULTS_SAVED, EventKind.RELEASED]


@contextlib.asynccontextmanager
async def running_guard(application: Application) -> AsyncIterator[Guard]:
    """Run a guard until the block ends."""
    task = asyncio.create_task(application.guard.run_forever())
    try:
        yield application.guard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def first_events(user: ScriptedUser, *kinds: EventKind) -> list[EventKind]:
    """Return the first event of each kind in order of arrival; warnings only if they have a reason."""
    found: list[EventKind] = []
    for event in user.events:
        plain = event.kind is EventKind.WARNING and "reason" not in event.data
        if event.kind in kinds and event.kind not in found and not plain:
            found.append(event.kind)
    return found
