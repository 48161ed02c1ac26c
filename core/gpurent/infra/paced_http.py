"""Keeps the pace that a plugin declares for the routes of its service, in this process and across processes.

The time at which a route is free again is kept in the plugin's durable state. Two processes that ask in the same moment
may still be refused with 429; then both wait.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta

from attrs import define, evolve, field, frozen

from gpurent.errors import StorageError
from gpurent.infra.http import SAFE_METHODS, TOO_MANY_REQUESTS, ReadHttpResponse
from gpurent.infra.http_headers import parse_retry_after
from gpurent.infra.wrapped_http import Send, WrappedHttp
from gpurent.ports.services import Http, HttpResponse, PluginState
from gpurent.ports.system import Clock
from gpurent.roles.entries import RoutePace

# A later time was noted by another clock, or for more calls than a user makes.
MAX_WAIT = timedelta(minutes=1)
STATE_PREFIX = "pace "


@define(eq=False)
class Pacer:
    """The routes of one service: when each is free again, by the service's own clock."""

    paces: Sequence[RoutePace]
    clock: Clock
    state: PluginState
    _free_at: dict[str, datetime] = field(factory=dict)
    _locks: dict[str, asyncio.Lock] = field(factory=dict)

    def list_paces(self, method: str, path: str) -> list[RoutePace]:
        """Return the pace of the route, then that of the whole service, as far as they are declared."""
        whole = [pace for pace in self.paces if pace.is_whole_service]
        own = [pace for pace in self.paces if not pace.is_whole_service and _matches(pace, method, path)]
        return [*own[:1], *whole[:1]]

    @asynccontextmanager
    async def take_turn(self, pace: RoutePace) -> AsyncIterator[None]:
        """Wait until the route is free, and hold it while the block calls it.

        A call may take long to arrive, so the interval counts from its answer; for other processes, from its start.
        """
        name = _get_name(pace)
        async with self._locks.setdefault(name, asyncio.Lock()):
            now = self.clock.now()
            turn = max(now, await self._find_free_time(name, now))
            await self._note_free_time(name, turn + pace.interval)
            if turn > now:
                await self.clock.sleep(turn - now)
            try:
                yield
            finally:
                self._free_at[name] = max(self._free_at[name], self.clock.now() + pace.interval)

    async def note_refusal(self, pace: RoutePace, pause: timedelta) -> None:
        await self._note_free_time(_get_name(pace), self.clock.now() + pause)

    async def _find_free_time(self, name: str, now: datetime) -> datetime:
        known = [self._free_at[name]] if name in self._free_at else []
        with suppress(StorageError, ValueError):
            if text := await self.state.get(STATE_PREFIX + name):
                known.append(datetime.fromisoformat(text))
        return max((time for time in known if time - now <= MAX_WAIT), default=now)

    async def _note_free_time(self, name: str, at: datetime) -> None:
        self._free_at[name] = at
        # Where nothing can be written, as on a full disk, the pace is kept in this process alone.
        with suppress(StorageError):
            await self.state.put(STATE_PREFIX + name, at.isoformat())


def _get_name(pace: RoutePace) -> str:
    return f"{pace.method} {pace.path}"


def _matches(pace: RoutePace, method: str, path: str) -> bool:
    pattern = "[^/]+".join(re.escape(part) for part in pace.path.split("{}"))
    return pace.method == method and re.fullmatch(pattern, path) is not None


@frozen(eq=False)
class PacedHttp(WrappedHttp):
    """A refusal for the pace says how long to wait. A call that only reads is then made once more."""

    client: Http
    pacer: Pacer

    async def handle(self, method: str, path: str, timeout: float, send: Send) -> HttpResponse:
        paces = self.pacer.list_paces(method, path)
        if not paces:
            return await send()
        answer = await self._send_in_turn(paces, send)
        if answer.status == TOO_MANY_REQUESTS and method in SAFE_METHODS:
            answer = await self._send_in_turn(paces, send)
        return answer

    async def _send_in_turn(self, paces: Sequence[RoutePace], send: Send) -> HttpResponse:
        async with AsyncExitStack() as turns:
            for pace in paces:
                await turns.enter_async_context(self.pacer.take_turn(pace))
            return await self._note_answer(paces, await send())

    async def _note_answer(self, paces: Sequence[RoutePace], answer: HttpResponse) -> HttpResponse:
        if answer.status != TOO_MANY_REQUESTS:
            return answer
        longest = max(max(pace.penalty, pace.interval) for pace in paces)
        pause = parse_retry_after(answer.headers) or longest
        # It does not say for which of them it came too early; the whole service is not made to wait for one route.
        await self.pacer.note_refusal(paces[0], pause)
        return evolve(answer, pause=pause) if isinstance(answer, ReadHttpResponse) else answer
