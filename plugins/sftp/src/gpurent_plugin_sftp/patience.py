"""How long the far side may say nothing: nothing may hang for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import monotonic
from typing import TypeVar

from gpurent.api import UnavailableError

T = TypeVar("T")
SILENCE = 300.0  # seconds


class Patience:
    """Ends what waits for a far side that has said nothing for too long."""

    def __init__(self) -> None:
        self._until = monotonic() + SILENCE

    def heard(self) -> None:
        self._until = monotonic() + SILENCE

    def grant(self, seconds: float) -> None:
        """Until something may be heard again, so long."""
        self._until = monotonic() + seconds + SILENCE

    async def over(self, work: Coroutine[None, None, T]) -> T:
        """What comes of ``work``; an `UnavailableError` where nothing is heard any more."""
        task = asyncio.ensure_future(work)
        try:
            while (left := self._until - monotonic()) > 0:
                await asyncio.wait({task}, timeout=left)
                if task.done():
                    return task.result()
        finally:
            await _end(task)
        raise UnavailableError("the machine's file transfer says nothing any more", retryable=True)


async def _end(task: asyncio.Future[T]) -> None:
    """Whatever it awaits to tidy up behind itself may hang as well."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)
    if not task.cancelled():
        task.exception()  # that it was cut short is no news
