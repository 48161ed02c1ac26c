"""Searches for orphans from time to time, and warns of each finding once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.orphans import Orphan, OrphanKind
from gpurent.locale import _
from gpurent.ports.system import Clock
from gpurent.ports.watch_store import OrphanStore
from gpurent.workflow.guard.warnings import catch_failure
from gpurent.workflow.reports.orphans import OrphanSearch
from gpurent.workflow.runtime.events import EventEmitter

SEARCH_INTERVAL = timedelta(hours=1)


@frozen
class OrphanWatch:
    """``find_account`` returns the user's account at a provider, empty if it is not known."""

    search: OrphanSearch
    store: OrphanStore
    events: EventEmitter
    clock: Clock
    find_account: Callable[[str], str]

    async def search_forever(self) -> None:
        """Search whenever it is due, until cancelled."""
        while True:
            await self.search_if_due()
            await self.clock.sleep(SEARCH_INTERVAL)

    async def search_if_due(self) -> None:
        """Search unless any process did within `SEARCH_INTERVAL`. Never raises."""
        before, now = await self.store.find_orphan_search_time(), self.clock.now()
        if before is not None and timedelta() <= now - before < SEARCH_INTERVAL:
            return
        if await self.store.swap_orphan_search_time(before, now):
            trouble = await catch_failure(self._search())
            if trouble:
                self.events.emit(EventKind.WARNING, trouble)

    async def _search(self) -> None:
        report = await self.search.find_orphans()
        for orphan in report.orphans:
            # A provider that does not answer is reported where its leases are watched.
            if orphan.kind in (OrphanKind.UNKNOWN, OrphanKind.UNEXPLAINED_CHARGE):
                continue
            if await self.store.put_orphan_report(orphan, self.find_account(orphan.provider)):
                self.events.emit(EventKind.WARNING, _format_warning(orphan), lease=orphan.lease)


def _format_warning(orphan: Orphan) -> str:
    name = orphan.ref or orphan.lease
    text = {
        OrphanKind.LOST_LEASE: _(
            "{provider}: {name} was rented from here and may cost money, but the journal does not know it."
            " See: gpurent orphans"
        ),
        OrphanKind.FORMER_LEASE: _(
            "{provider}: {name} was rented before the backup was restored and may cost money; nothing is done with it."
            " See: gpurent orphans"
        ),
        OrphanKind.UNKNOWN_MACHINE: _(
            "{provider}: {name} is not known here; it may belong to another computer on this account."
            " See: gpurent orphans"
        ),
        OrphanKind.LOST_VOLUME: _(
            "{provider}: the volume {name} was created from here and costs money, but the journal does not know it."
            " See: gpurent orphans"
        ),
        OrphanKind.UNKNOWN_VOLUME: _(
            "{provider}: the volume {name} is not known here; it may belong to another computer on this account."
            " See: gpurent orphans"
        ),
        OrphanKind.REVIVED_LEASE: _(
            "{provider}: {lease} was taken for ended, but it runs and may cost money."
        ),
        OrphanKind.UNCOUNTED_PAYMENT: _(
            "{provider}: the payment {name} of {money} was not counted. See: gpurent orphans"
        ),
    }[orphan.kind]
    return text.format(provider=orphan.provider, name=name, lease=orphan.lease, money=orphan.money)
