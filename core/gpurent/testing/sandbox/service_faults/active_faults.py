"""The faults in force in one sandbox, how often each was applied, and the calls that its services received."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from attrs import define, field

from gpurent.errors import UsageError
from gpurent.locale import _, join_list
from gpurent.testing.sandbox.service_faults.fault import ServiceFault

RECORDED_CALLS = 20_000
_USER_AGENT = re.compile(rb"^user-agent: ([^\n]*)$", re.MULTILINE)


@define(eq=False)
class ServiceCall:
    """A call that a service received. ``status``: None until an HTTP answer is sent, or if none is.

    ``fault``: the id of the fault that was applied to it. ``agent``: who called, by the ``User-Agent`` header.
    ``query`` may hold secrets, so that nothing shows it.
    """

    number: int
    service: str
    method: str
    path: str
    status: int | None = None
    fault: int | None = None
    agent: str = ""
    query: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "service": self.service,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "fault": self.fault,
        }


@define(eq=False)
class ActiveFault:
    """A fault in force: how many calls matched it, were changed by it, and are held by it now."""

    id: int
    fault: ServiceFault
    matched: int = 0
    applied: int = 0
    held: int = 0
    _cleared: asyncio.Event = field(factory=asyncio.Event)
    _was_applied: asyncio.Event = field(factory=asyncio.Event)

    @property
    def is_cleared(self) -> bool:
        return self._cleared.is_set()

    def record_applied(self, call: ServiceCall | None = None) -> None:
        """Count that it changed ``call`` (None: a connection), once for each call."""
        if call is not None and call.fault == self.id:
            return
        if call is not None:
            call.fault = self.id
        self.applied += 1
        self._was_applied.set()

    def clear(self) -> None:
        """End it; calls that it holds or slows go on."""
        self._cleared.set()

    async def delay_call(self, call: ServiceCall) -> None:
        """Wait as long as the fault says, at most until it is cleared."""
        fault = self.fault
        if not fault.hold and not fault.slow:
            return
        self.record_applied(call)
        self.held += 1
        try:
            await asyncio.wait_for(self._cleared.wait(), None if fault.hold else fault.slow)
        except TimeoutError:
            return
        finally:
            self.held -= 1

    async def wait_until_applied(self) -> None:
        await self._was_applied.wait()

    def to_json(self) -> dict[str, Any]:
        counts = {"matched": self.matched, "applied": self.applied, "held": self.held}
        return {"id": self.id, **counts, **self.fault.to_json()}


@define(eq=False)
class ServiceFaults:
    """The faults of all services of one sandbox, and their calls. Used from the sandbox's event loop only.

    Of several faults that match a call, the oldest is applied.
    """

    calls: deque[ServiceCall] = field(factory=lambda: deque(maxlen=RECORDED_CALLS))
    """The last `RECORDED_CALLS` calls, oldest first."""
    call_count: int = 0
    _faults: dict[int, ActiveFault] = field(factory=dict)
    _last_id: int = 0
    _doors: dict[str, Callable[[bool], Awaitable[None]]] = field(factory=dict)

    def register_service(self, name: str, set_refusing: Callable[[bool], Awaitable[None]]) -> None:
        """Add the service ``name``, whose connections ``set_refusing`` refuses (True) or accepts again."""
        self._doors[name] = set_refusing

    async def add(self, fault: ServiceFault) -> ActiveFault:
        """Put ``fault`` in force. Raises `UsageError` if there is no such service."""
        if not any(fnmatchcase(name, fault.service) for name in self._doors):
            raise UsageError(
                _("the sandbox has no service {name!r}").format(name=fault.service),
                hint=_("Its services: {names}").format(names=join_list(sorted(self._doors))),
            )
        self._last_id += 1
        made = self._faults[self._last_id] = ActiveFault(self._last_id, fault)
        if fault.refuse:
            made.record_applied()
            await self._update_doors()
        return made

    async def clear(self, *ids: int) -> Sequence[ActiveFault]:
        """End these faults (without ``ids``: all) and return them. Raises `UsageError` if one does not exist."""
        for number in ids:
            self.get(number)
        ended = [self._faults.pop(number) for number in ids or tuple(self._faults)]
        for active in ended:
            active.clear()
        if any(active.fault.refuse for active in ended):
            await self._update_doors()
        return ended

    def get(self, number: int) -> ActiveFault:
        found = self._faults.get(number)
        if found is None:
            raise UsageError(
                _("there is no fault {number}").format(number=number),
                hint=_("See: gpurent sandbox fault list"),
            )
        return found

    def list(self) -> Sequence[ActiveFault]:
        return tuple(self._faults.values())

    def begin_call(
        self, service: str, method: str, path: str, request: bytes
    ) -> tuple[ServiceCall, ActiveFault | None]:
        """Record a call, and return it with the fault to apply to it."""
        self.call_count += 1
        agent = _USER_AGENT.search(request)
        call = ServiceCall(
            self.call_count,
            service,
            method,
            path,
            agent=agent[1].decode("latin-1") if agent else "",
            query=request.partition(b"\n")[0].partition(b"?")[2].decode("latin-1"),
        )
        self.calls.append(call)
        chosen = None
        for active in self._faults.values():
            if active.fault.matches(service, method, path, request):
                active.matched += 1
                if chosen is None and active.fault.includes(active.matched):
                    chosen = active
        return call, chosen

    async def _update_doors(self) -> None:
        refused = [active.fault.service for active in self._faults.values() if active.fault.refuse]
        for name, set_refusing in self._doors.items():
            await set_refusing(any(fnmatchcase(name, pattern) for pattern in refused))
