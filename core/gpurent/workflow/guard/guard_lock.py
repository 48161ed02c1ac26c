"""One guard for each home. The system lets go of the lock when its holder dies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta

from gpurent.domain.events import EventKind
from gpurent.infra.platform.posix.files import private_folder
from gpurent.infra.platform.posix.locks import Taken, locked
from gpurent.locale import _
from gpurent.workflow.runtime.desk import Desk

AGAIN = timedelta(seconds=15)


@asynccontextmanager
async def alone(desk: Desk, *, wait: bool) -> AsyncIterator[bool]:
    """Whether this process is the guard; with ``wait`` it stands by until it is. Told once who holds the lock."""
    path = private_folder(desk.home / "locks") / "guard.lock"
    told = False
    while True:
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(path))
            except Taken as error:
                if not told:
                    told = True
                    text = _("process {holder} is the guard here; this one stands by")
                    if not wait:
                        text = _("process {holder} is the guard here; nothing was done")
                    desk.tell(EventKind.WAITING, text.format(holder=error.holder), holder=error.holder)
                if not wait:
                    yield False
                    return
            else:
                yield True
                return
        await desk.pace(AGAIN, floor=0.25)
