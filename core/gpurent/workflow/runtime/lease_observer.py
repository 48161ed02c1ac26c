"""Asks a provider for one lease again and again, by the rule that an answer that says nothing changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from attrs import define

from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease
from gpurent.ports.system import Clock
from gpurent.workflow.runtime.leases import LeaseTracker


@define
class LeaseObserver:
    """``report`` is given each reason why nothing is known, once in a row.

    A provider that asks for a pause is not asked again before that.
    """

    leases: LeaseTracker
    lease_id: str
    clock: Clock
    report: Callable[[str], None]
    _last: Unknown | None = None
    _ask_again_at: datetime | None = None

    async def observe(self) -> Lease | Unknown:
        """Return the refreshed lease, or `Unknown`; raises `InputRequired` and `BusyError`."""
        now = self.clock.now()
        if self._last is not None and self._ask_again_at is not None and now < self._ask_again_at:
            return self._last
        seen = await self.leases.observe_lease(self.lease_id)
        if not isinstance(seen, Unknown):
            self._last = self._ask_again_at = None
            return seen
        if self._last is None or self._last.reason != seen.reason:
            self.report(seen.reason)
        self._last = seen
        self._ask_again_at = now + seen.retry_after if seen.retry_after is not None else None
        return seen
