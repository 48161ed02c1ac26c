"""After a restore from a backup: nothing is spent before the user has had looked at what is there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import frozen

from gpurent.domain.restored_state import RestoreRecord
from gpurent.errors import GpurentError, RestoredUnchecked, Spent
from gpurent.locale import _
from gpurent.ports.backup_store import RestoreStore
from gpurent.ports.system import Clock
from gpurent.roles.lease import ManualProvider
from gpurent.workflow.runtime.lease_copier import LeaseCopier
from gpurent.workflow.runtime.plugins import Plugins


@frozen
class RestoreChecks:
    """The one gate before orders, payments and all else that costs money."""

    store: RestoreStore
    plugins: Plugins
    copier: LeaseCopier
    clock: Clock

    async def require_checked(self, provider: str, trip_id: str = "", lease_id: str = "") -> None:
        """Raise `RestoredUnchecked`, with nothing spent, unless money may be spent at ``provider``.

        What a trip ordered or paid after the backup was made is not known, so that one that was open then spends
        nothing more; and a lease of the installation that was backed up has to be adopted first.
        """
        record = await self.store.find_restore()
        if record is None:
            return
        if trip_id in record.open_trips:
            raise _make_error(
                _("trip {trip} was open when the backup was made: it orders and pays nothing more").format(
                    trip=trip_id
                ),
                _("Close it: gpurent trips cancel {trip}. Then begin a new one.").format(trip=trip_id),
            )
        steps = self._list_missing_steps(record, provider)
        if steps:
            text = _("restored from a backup: nothing is spent at {provider} before you have looked")
            head = _("See what has happened since {at:%Y-%m-%d %H:%M} UTC:").format(at=record.backed_up_at)
            raise _make_error(text.format(provider=provider), "\n".join([head, *steps]))
        if lease_id:
            await self.require_adopted(lease_id)

    async def require_adopted(self, lease_id: str) -> None:
        """Raise `RestoredUnchecked` if the lease is one of the installation that was backed up."""
        obstacle = (await self.find_former_leases()).get(lease_id)
        if obstacle is not None:
            raise obstacle

    async def find_former_leases(self) -> Mapping[str, GpurentError]:
        """Return the error of `require_adopted` for each lease that was not adopted, by its id; nearly always none."""
        return {
            copy.lease: _make_error(
                _(
                    "{lease} was rented before the backup was restored; another gpurent may be working on it"
                ).format(lease=copy.lease),
                _("If it is only yours: gpurent orphans --adopt {lease}").format(lease=copy.lease),
                burning=(copy.lease,),
            )
            for copy in await self.copier.list_former_leases()
        }

    def _list_missing_steps(self, record: RestoreRecord, provider: str) -> list[str]:
        """Return the commands to type before anything is spent at the provider."""
        steps = []
        if provider not in record.searched and not self._is_manual(provider):
            steps.append("gpurent orphans")
        account = self._find_account(provider)
        if account and account not in record.compared:
            steps.append("gpurent reconcile")
        return steps

    def _is_manual(self, provider: str) -> bool:
        """Whether the provider has no list that could be searched, and gpurent orders nothing there."""
        try:
            return isinstance(self.plugins.provider(provider), ManualProvider)
        except GpurentError:
            return False  # which is reported where it is used

    def _find_account(self, provider: str) -> str:
        """Return the name of the account that the provider is paid from; empty if it has none."""
        try:
            return self.plugins.billing_entry(provider).name
        except GpurentError:
            return ""

    # what the user has had looked at

    async def record_search(self, asked: Collection[str], unanswered: Collection[str]) -> None:
        """Record that `gpurent orphans` has shown the machines of the providers that answered."""
        found = set(asked) - set(unanswered)
        await self.store.update_restore(lambda record: record.add_searched(found, self.clock.now()))

    async def record_comparison(self, providers: Collection[str], unreadable: Collection[str]) -> None:
        """Record that `gpurent reconcile` has compared the accounts of these providers."""
        found = {
            account for name in set(providers) - set(unreadable) if (account := self._find_account(name))
        }
        await self.store.update_restore(lambda record: record.add_compared(found, self.clock.now()))

    async def describe(self) -> str:
        """Return what every command tells the user until both have run; empty if nothing is to be told."""
        record = await self.store.find_restore()
        if record is None or record.is_examined:
            return ""
        text = _("Restored from a backup of {at:%Y-%m-%d %H:%M} UTC. Before anything is spent: {commands}")
        return text.format(at=record.backed_up_at, commands="gpurent orphans; gpurent reconcile")


def _make_error(text: str, hint: str, burning: tuple[str, ...] = ()) -> RestoredUnchecked:
    return RestoredUnchecked(text, hint=hint, spent=Spent.NO, burning=burning, retryable=True)
