"""The leases to guard by provider, and what a provider and its account report about all of them, asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from attrs import define, field, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.time_left import TimeLeft
from gpurent.errors import GpurentError, UnavailableError
from gpurent.locale import _, join_clauses
from gpurent.ports.store import LeaseStore
from gpurent.workflow.guard.facts import MonthLeft
from gpurent.workflow.guard.purchases import TopUpRequests
from gpurent.workflow.guard.spending import MonthBudgets
from gpurent.workflow.guard.warnings import format_failure
from gpurent.workflow.payments.missing_leases import MissingLeases
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.restore_checks import RestoreChecks
from gpurent.workflow.timing.time_reader import TimeLeftReader

MAX_CONCURRENT = 4
# Up to this many leases are requested one by one; for more, the provider's list is read first.
MAX_SINGLE_REQUESTS = 2
# Wait this many times the duration of a read before the next, so reads take at most 1/20 of the time.
READ_INTERVAL_FACTOR = 20


@define
class LeaseGroups:
    """The leases that are not over, by provider; ``unguarded``: why nothing is done about a lease, by its id."""

    leases: LeaseStore
    plugins: Plugins
    checks: RestoreChecks
    unguarded: Mapping[str, GpurentError] = field(factory=dict, init=False)
    _groups: Mapping[str, Sequence[Lease]] = field(factory=dict, init=False)
    _next_read_at: float = field(default=0.0, init=False)

    async def group_by_provider(self) -> Mapping[str, Sequence[Lease]]:
        """Return the groups that can be guarded, from the Store or from a recent read."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if begun < self._next_read_at:
            return self._groups
        found: dict[str, list[Lease]] = {}
        unguarded = {}
        formers = await self.checks.find_former_leases()
        for lease in await self.leases.list_open_leases():
            obstacle = self.plugins.find_obstacle(lease) or formers.get(lease.id)
            if obstacle is None:
                found.setdefault(lease.provider, []).append(lease)
            else:
                unguarded[lease.id] = obstacle
        self._groups, self.unguarded = found, unguarded
        self._next_read_at = loop.time() + READ_INTERVAL_FACTOR * (loop.time() - begun)
        return found


@frozen(kw_only=True)
class ObservedProvider:
    """The leases, the time left of each, and what they share.

    ``top_up_requested``: the balance is low, and the user was asked to top up. ``month_left``: what is left of the
    monthly budgets. ``problem``: what could not be read, which hides nothing else.
    """

    leases: Sequence[Lease]
    times: Mapping[str, TimeLeft]
    top_up_requested: bool
    month_left: MonthLeft | None
    problem: str = ""


def is_unchanged(ours: Lease, theirs: Lease | None) -> bool:
    """Return whether the provider's list shows the lease as we know it."""
    return (
        theirs is not None
        and ours.pending is None
        and ours.state is theirs.state
        and ours.expires_at == theirs.expires_at
    )


@frozen
class ProviderObserver:
    """Observes all leases of one provider. Errors of the provider propagate; those of its account are a ``problem``."""

    plugins: Plugins
    leases: LeaseTracker
    times: TimeLeftReader
    topups: TopUpRequests
    month_budgets: MonthBudgets
    missing_leases: MissingLeases

    async def observe_provider(self, provider: str, leases: Sequence[Lease]) -> ObservedProvider:
        known, unseen = await self._get_current_leases(provider, leases)
        return await self._observe_account(provider, known, await self.times.get_time_left(known), unseen)

    async def observe_without_answer(self, provider: str, leases: Sequence[Lease]) -> ObservedProvider:
        """Return what is known while the provider does not answer: the leases as they were last seen."""
        return await self._observe_account(provider, leases, await self.times.get_last_seen(leases))

    async def _observe_account(
        self,
        provider: str,
        leases: Sequence[Lease],
        times: Mapping[str, TimeLeft],
        unseen: Sequence[str] = (),
    ) -> ObservedProvider:
        requested, no_balance = await self._poll_top_up(provider)
        month, unchecked = await self._find_month_left(provider)
        return ObservedProvider(
            leases=leases,
            times=times,
            top_up_requested=requested,
            month_left=month,
            problem=join_clauses(dict.fromkeys(filter(None, (*unseen, no_balance, unchecked)))),
        )

    async def _poll_top_up(self, provider: str) -> tuple[bool, str]:
        """Return whether a top-up is outstanding, and why the account could not be asked."""
        try:
            return await self.topups.poll_request(provider), ""
        except Exception as error:  # noqa: BLE001 - a broken account must not end the watch over its leases
            return True, format_failure(error)

    async def _find_month_left(self, provider: str) -> tuple[MonthLeft | None, str]:
        try:
            return await self.month_budgets.find_month_left(provider)
        except Exception as error:  # noqa: BLE001 - likewise
            return None, format_failure(error)

    async def _get_current_leases(
        self, provider: str, leases: Sequence[Lease]
    ) -> tuple[Sequence[Lease], Sequence[str]]:
        """Return the leases in their current state, read from one list if there are more than `MAX_SINGLE_REQUESTS`.

        Only leases that the list shows unchanged are taken from it. Those that it lacks or shows differently are
        requested one by one: absence from the list proves nothing. Leases that cannot be refreshed are as last seen,
        and the reasons are returned too. Raises `UnavailableError` if none of them could be refreshed.
        """
        listed = await self._list_provider_leases(provider, leases)
        same = [lease for lease in leases if is_unchanged(lease, listed.get(lease.id))]
        known = {lease.id for lease in same}
        others = [lease for lease in leases if lease.id not in known]
        gate = asyncio.Semaphore(MAX_CONCURRENT)
        looks = await asyncio.gather(*(self._try_refresh(gate, lease) for lease in others))
        reasons = {lease.id: look for lease, look in zip(others, looks, strict=True) if isinstance(look, str)}
        if others and len(reasons) == len(others):
            why = join_clauses(dict.fromkeys(reasons.values()))
            raise UnavailableError(
                _("{provider} does not answer: {why}").format(provider=provider, why=why), retryable=True
            )
        seen = [look if isinstance(look, Lease) else lease for lease, look in zip(others, looks, strict=True)]
        return [*same, *seen], [f"{name}: {why}" for name, why in reasons.items()]

    async def _list_provider_leases(self, provider: str, leases: Sequence[Lease]) -> Mapping[str, Lease]:
        """Return the provider's own entries, by the ids of our leases."""
        asked = [lease for lease in leases if self.plugins.is_known_to_provider(lease)]
        if len(asked) <= MAX_SINGLE_REQUESTS:
            return {}
        found = await self.plugins.provider(provider).list_leases()
        theirs = {lease.ref: lease for lease in getattr(found, "items", ()) if lease.ref}
        return {lease.id: theirs[lease.ref] for lease in asked if lease.ref in theirs}

    async def _try_refresh(self, gate: asyncio.Semaphore, lease: Lease) -> Lease | str:
        """Return the refreshed lease, or why it could not be refreshed."""
        try:
            async with gate:
                return await self.missing_leases.end_if_uncharged(await self.leases.refresh_lease(lease.id))
        except GpurentError as error:
            return error.message
