"""Searches the providers' accounts for what the Store does not know: machines, and money."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set

from attrs import define, field, frozen

from gpurent.domain.evidence import Known, Unknown, make_unknown
from gpurent.domain.lease import Lease
from gpurent.domain.lease_copy import LeaseCopy
from gpurent.domain.offer import OrderKind
from gpurent.domain.orphans import Orphan, OrphanKind, OrphanMachine, OrphanReport
from gpurent.domain.provider_names import get_base_name
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.roles.entries import LeaseEntry
from gpurent.roles.lease import ManualProvider
from gpurent.workflow.reports.late_orders import LateOrders
from gpurent.workflow.reports.orphan_money import OrphanMoney
from gpurent.workflow.reports.orphan_volumes import OrphanVolumes
from gpurent.workflow.runtime.lease_copier import LeaseCopier
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.logins import Logins


@define
class _ProviderSearch:
    """One provider's machines against our leases, read after the provider's list."""

    leases: LeaseTracker
    late: LateOrders
    provider: str
    account: str
    list_machines: Callable[[], Awaitable[Known[Lease] | Unknown]]
    found: list[OrphanMachine] = field(factory=list)
    others: list[Orphan] = field(factory=list)
    matched: set[str] = field(factory=set)

    async def compare(self) -> None:
        answer = await self.list_machines()
        if isinstance(answer, Unknown):
            self._add_unknown(answer)
        listed = answer if isinstance(answer, Unknown) else answer.items
        # Read after the list: a machine that was just rented is saved by now.
        every = await self.leases.store.list_leases()
        ours = [
            lease
            for lease in every
            if lease.provider == self.provider and not self.leases.plugins.is_of_other_account(lease)
        ]
        living = [lease for lease in ours if not lease.is_over or lease.pending is not None]
        ended = [lease for lease in ours if lease.is_over and lease.pending is None]
        lost = [copy for copy in await list_unattended(self.leases.copier) if copy.provider == self.provider]
        machines = () if isinstance(listed, Unknown) else listed
        refs = {machine.ref for machine in machines}
        for machine in machines:
            if machine.is_over or self._is_known(machine, refs, living, lost):
                continue
            twin = self._find_twin(machine, every)
            if twin is not None:
                self._add_twin(machine, twin)
            else:
                await self._examine(machine, ended, lost)
        for copy in lost:
            if copy.lease not in self.matched:
                self.found.append(self._make_unlisted(copy, listed))

    def _find_twin(self, machine: Lease, every: Sequence[Lease]) -> Lease | None:
        """Return the lease that has this machine under another name of the provider's accounts."""
        if not machine.ref:
            return None
        base, place = get_base_name(self.provider), (machine.ref, machine.offer.key)
        return next(
            (
                lease
                for lease in every
                if lease.provider != self.provider
                and get_base_name(lease.provider) == base
                and not lease.is_over
                and (lease.ref, lease.offer.key) == place
            ),
            None,
        )

    def _add_twin(self, machine: Lease, twin: Lease) -> None:
        text = _("the machine {ref} is {lease} of {other}: both names seem to be one account")
        reason = text.format(ref=machine.ref, lease=twin.id, other=twin.provider)
        self._add_unknown(Unknown(reason), twin.id)

    def _is_known(
        self, machine: Lease, listed: Set[str], living: Sequence[Lease], lost: Sequence[LeaseCopy]
    ) -> bool:
        """Whether a living lease has the machine; ``listed`` are the references of all that are listed."""
        lost_ids = {copy.lease for copy in lost}
        for lease in living:
            if lease.id in lost_ids:
                continue
            pending = lease.pending
            refs = {lease.ref, pending.ref if pending is not None else ""} - {""}
            if machine.ref in refs:
                return True
            # Beside the lease's own machine, another one with the label of its order is a second one.
            if machine.label and machine.label == lease.label and not refs & listed:
                return True
            # An order under way may have created it; its trip finds out.
            is_ordering = not lease.ref or (pending is not None and pending.kind is OrderKind.SWITCH)
            if is_ordering and lease.offer.key == machine.offer.key:
                return True
        return False

    async def _examine(self, machine: Lease, ended: Sequence[Lease], lost: Sequence[LeaseCopy]) -> None:
        copy = next((copy for copy in lost if self._is_of(machine, copy)), None)
        if copy is not None:
            self._add(_get_kind(copy), machine, copy=copy)
            return
        former = next((lease for lease in reversed(ended) if lease.ref == machine.ref), None)
        if former is not None and not former.needs_proof:
            await self._revise(machine, former)
            return
        revived = await self.late.revive_lease(machine, ended) or await self.late.find_lease_of(machine)
        if isinstance(revived, Lease):
            self._add(OrphanKind.REVIVED_LEASE, machine, lease=revived.id)
            return
        # The order's machine was not known when the Store was lost; a password proves it once the user names it.
        maybe = next(
            (copy for copy in lost if not copy.ref and copy.order and copy.machine == machine.offer.key), None
        )
        if maybe is not None:
            reason = _("it may be the machine of the unfinished order {key}").format(key=maybe.label)
            self._add(_get_kind(maybe), machine, copy=maybe, reason=reason)
            return
        reason = revived.reason if isinstance(revived, Unknown) else ""
        self._add(OrphanKind.UNKNOWN_MACHINE, machine, reason=reason)

    def _is_of(self, machine: Lease, copy: LeaseCopy) -> bool:
        if copy.account and self.account and copy.account != self.account:
            return False
        return machine.ref in copy.refs or bool(machine.label and machine.label == copy.label)

    async def _revise(self, machine: Lease, former: Lease) -> None:
        """Ask for a lease that counts as over and is listed; an answer that shows it alive revises its end."""
        seen = await self.leases.observe_lease(former.id)
        if isinstance(seen, Unknown):
            self._add_unknown(seen, former.id)
        elif not seen.is_over:
            self._add(OrphanKind.REVIVED_LEASE, machine, lease=former.id)
        elif await self._is_still_listed(machine):
            reason = _("{lease} was this machine; it was started again elsewhere").format(lease=former.id)
            self._add(OrphanKind.UNKNOWN_MACHINE, machine, reason=reason)

    async def _is_still_listed(self, machine: Lease) -> bool:
        """Whether it was not just released while the first list was on its way."""
        again = await self.list_machines()
        items = () if isinstance(again, Unknown) else again.items
        return any(other.ref == machine.ref and not other.is_over for other in items)

    def _add_unknown(self, unknown: Unknown, lease: str = "") -> None:
        self.others.append(
            Orphan(kind=OrphanKind.UNKNOWN, provider=self.provider, lease=lease, reason=unknown.reason)
        )

    def _add(
        self,
        kind: OrphanKind,
        machine: Lease,
        *,
        lease: str = "",
        copy: LeaseCopy | None = None,
        reason: str = "",
    ) -> None:
        if copy is not None:
            self.matched.add(copy.lease)
        found = Orphan(
            kind=kind,
            provider=self.provider,
            ref=machine.ref,
            lease=copy.lease if copy is not None else lease,
            machine=machine.offer.key,
            endpoint=machine.endpoint or (copy.endpoint if copy is not None else None),
            price=machine.offer.tariff.price,
            since=machine.started_at,
            is_ours=kind is not OrphanKind.UNKNOWN_MACHINE,
            is_listed=True,
            reason=reason,
        )
        self.found.append(OrphanMachine(orphan=found, listed=machine, copy=copy))

    def _make_unlisted(self, copy: LeaseCopy, listed: Sequence[Lease] | Unknown) -> OrphanMachine:
        reason = _("the provider's list does not contain it; that does not mean that it has ended")
        is_listed: bool | None = False
        if copy.is_declared:
            is_listed, reason = None, _("you rented it manually; only the provider's page shows it")
        elif isinstance(listed, Unknown):
            is_listed, reason = None, listed.reason
        elif copy.account and copy.account != self.account:
            is_listed = None
            reason = _("it belongs to the account {account}").format(account=copy.account)
        orphan = Orphan(
            kind=_get_kind(copy),
            provider=self.provider,
            ref=copy.ref,
            lease=copy.lease,
            machine=copy.machine,
            endpoint=copy.endpoint,
            price=copy.price,
            since=copy.started_at,
            is_ours=True,
            is_listed=is_listed,
            reason=reason,
        )
        return OrphanMachine(orphan=orphan, copy=copy)


async def list_unattended(copier: LeaseCopier) -> Sequence[LeaseCopy]:
    """Return the copies of the lost leases, and of those that a former installation rented."""
    found = {copy.lease: copy for copy in await copier.list_former_leases()}
    return list({**found, **{copy.lease: copy for copy in await copier.list_lost_leases()}}.values())


def _get_kind(copy: LeaseCopy) -> OrphanKind:
    return OrphanKind.FORMER_LEASE if copy.former else OrphanKind.LOST_LEASE


@frozen
class OrphanSearch:
    """Asks every provider that the user is logged in to or has leases of. Nothing is rented or released."""

    leases: LeaseTracker
    logins: Logins
    late: LateOrders
    money: OrphanMoney
    volumes: OrphanVolumes

    async def find_orphans(self, *, with_money: bool = True) -> OrphanReport:
        """Compare every provider's list, and with ``with_money`` its statement, with the Store."""
        providers = [name for name in sorted(await self._list_candidates()) if await self._has_list(name)]
        searches = await asyncio.gather(*(self._search_provider(name, with_money) for name in providers))
        return OrphanReport(
            installation=self.leases.copier.copies.get_installation(),
            asked=tuple(providers),
            machines=tuple(machine for search in searches for machine in search.found),
            others=tuple(other for search in searches for other in search.others),
        )

    async def _list_candidates(self) -> set[str]:
        """Return the providers with a login, or with leases in the Store or in the second copy."""
        installed = self.leases.plugins.registry.get_entries(LeaseEntry)
        logged_in = {name for name, entry in installed.items() if entry.auth and self._may_be_logged_in(name)}
        leases = await self.leases.store.list_open_leases()
        listed = {lease.provider for lease in leases if self.leases.plugins.is_known_to_provider(lease)}
        listed |= {volume.provider for volume in await self.volumes.volumes.list_volumes()}
        return logged_in | listed | {copy.provider for copy in await list_unattended(self.leases.copier)}

    def _may_be_logged_in(self, provider: str) -> bool:
        try:
            return self.logins.find_login(self.leases.plugins.provider_entry(provider).auth) is not None
        except GpurentError:
            return False

    async def _has_list(self, provider: str) -> bool:
        """Whether the provider can be asked at all; one without an API is searched only for what the copies have."""
        if any(copy.provider == provider for copy in await list_unattended(self.leases.copier)):
            return True
        try:
            return not isinstance(self.leases.plugins.provider(provider), ManualProvider)
        except GpurentError:
            return True  # its failure is reported

    async def _search_provider(self, provider: str, with_money: bool) -> _ProviderSearch:
        account = self.logins.find_account(provider)
        search = _ProviderSearch(
            self.leases, self.late, provider, account, lambda: self._list_machines(provider)
        )
        await search.compare()
        search.others += await self.volumes.find_volumes(provider)
        if with_money:
            search.others += await self.money.find_money(provider)
        return search

    async def _list_machines(self, provider: str) -> Known[Lease] | Unknown:
        try:
            return await self.leases.plugins.provider(provider).list_leases()
        except GpurentError as error:
            return make_unknown(error)
        except Exception as error:  # noqa: BLE001 - one broken plugin must not hide the others' machines
            return Unknown(f"{type(error).__name__}: {error}")
