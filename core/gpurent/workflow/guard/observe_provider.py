"""The leases to look after, and what a provider and its account say of all of them there, asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from attrs import define, field, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.time_left import TimeLeft
from gpurent.errors import GpurentError, UnavailableError
from gpurent.locale import _
from gpurent.ports.store import LeaseStore
from gpurent.roles.entries import LeaseEntry
from gpurent.workflow.guard.facts import MonthLeft
from gpurent.workflow.guard.purchases import TopUps
from gpurent.workflow.guard.spending import MonthBudgets
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.timing.time_reader import TimeLeftReader

SIDE_BY_SIDE = 4
# So many leases are asked for one by one; for more, the list is read first.
FEW = 2
# What part of the time reading the list may take at most, inverted: with many leases, it is read more seldom.
READING = 20


@define
class LeaseGroups:
    """The leases that are not over, of providers whose plugin is installed."""

    leases: LeaseStore
    plugins: Plugins
    _found: Mapping[str, Sequence[Lease]] = field(factory=dict, init=False)
    _read_again: float = field(default=0.0, init=False)

    def by_provider(self) -> Mapping[str, Sequence[Lease]]:
        """As read now, or a moment ago."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if begun < self._read_again:
            return self._found
        installed = self.plugins.registry.entries(LeaseEntry)
        found: dict[str, list[Lease]] = {}
        for lease in self.leases.open_leases():
            if lease.provider in installed:
                found.setdefault(lease.provider, []).append(lease)
        self._found = found
        self._read_again = loop.time() + READING * (loop.time() - begun)
        return found


@frozen(kw_only=True)
class ObservedProvider:
    """The leases that could be looked at, each with its time left, and what they share.

    ``topping``: the balance is short, and the user was asked to top up. ``month``: what the month's budgets leave.
    """

    leases: Sequence[Lease]
    times: Mapping[str, TimeLeft]
    topping: bool
    month: MonthLeft | None


def is_unchanged(ours: Lease, theirs: Lease | None) -> bool:
    """Whether the provider's list shows the lease as we know it."""
    return (
        theirs is not None
        and ours.pending is None
        and ours.state is theirs.state
        and ours.expires_at == theirs.expires_at
    )


@frozen
class ProviderObserver:
    """Raises whatever the provider or its account fails with."""

    plugins: Plugins
    leases: LeaseTracker
    times: TimeLeftReader
    topups: TopUps
    months: MonthBudgets

    async def observe(self, provider: str, leases: Sequence[Lease]) -> ObservedProvider:
        known = await self._current_leases(provider, leases)
        return ObservedProvider(
            leases=known,
            times=await self.times.read(known),
            topping=await self.topups.watch(provider),
            month=await self.months.left_for(provider),
        )

    async def _current_leases(self, provider: str, leases: Sequence[Lease]) -> Sequence[Lease]:
        """The leases as they stand now; by one list where there are more than `FEW`.

        Only what the list shows unchanged is taken from it. What it does not show, or shows otherwise, is asked for
        singly: nothing is concluded from absence. One that cannot be looked at is left out; none at all is an
        `UnavailableError`.
        """
        listed = await self._listed(provider, leases)
        same = [lease for lease in leases if is_unchanged(lease, listed.get(lease.id))]
        known = {lease.id for lease in same}
        others = [lease for lease in leases if lease.id not in known]
        gate = asyncio.Semaphore(SIDE_BY_SIDE)
        looks = await asyncio.gather(*(self._refreshed(gate, lease) for lease in others))
        found = [lease for lease in looks if lease is not None]
        if others and not found:
            raise UnavailableError(_("{provider} does not answer").format(provider=provider), retryable=True)
        return [*same, *found]

    async def _listed(self, provider: str, leases: Sequence[Lease]) -> Mapping[str, Lease]:
        """The provider's own entries, by our leases' ids."""
        asked = [lease for lease in leases if self.plugins.is_listed(lease)]
        if len(asked) <= FEW:
            return {}
        found = await self.plugins.provider(provider).leases()
        theirs = {lease.ref: lease for lease in getattr(found, "items", ()) if lease.ref}
        return {lease.id: theirs[lease.ref] for lease in asked if lease.ref in theirs}

    async def _refreshed(self, gate: asyncio.Semaphore, lease: Lease) -> Lease | None:
        try:
            async with gate:
                return await self.leases.refresh_lease(lease.id)
        except GpurentError:
            return None
