"""Reconciles the ledger with the providers' statements: names every difference; corrects only by new entries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from attrs import frozen

from gpurent.domain.evidence import Unknown, make_unknown
from gpurent.domain.lease import Lease
from gpurent.domain.ledger import LedgerAccount, LineKey, Transaction, sum_balances
from gpurent.domain.receipt import Charge
from gpurent.domain.volume import Volume
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.ports.store import Store
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.volume_books import VolumeBooks
from gpurent.workflow.reports.ledger_findings import (
    Difference,
    LedgerFinding,
    compare_account_charge,
    compare_bills,
    compare_charge,
    make_ledger_finding,
    make_unlisted_finding,
    make_unreadable_finding,
)
from gpurent.workflow.runtime.logins import AccountCommands
from gpurent.workflow.runtime.plugins import Plugins


@frozen
class Reconciliation:
    store: Store
    plugins: Plugins
    bookkeeping: Bookkeeping
    volumes: VolumeBooks
    accounts: AccountCommands

    async def list_comparable(self) -> Sequence[str]:
        """Return the providers to compare: those rented from or paid, and those of each other account with a login."""
        names = list(await self.bookkeeping.list_providers())
        accounts = {self._find_account(name) for name in names}
        for name, _account in self.accounts.list_logins():
            account = self._find_account(name)
            if account and account not in accounts:
                accounts.add(account)
                names.append(name)
        return sorted(names)

    def _find_account(self, provider: str) -> str:
        """Return the name of the account that the provider is paid from; empty if there is none."""
        try:
            return self.plugins.billing_entry(provider).name
        except GpurentError:
            return ""

    async def compare_provider(self, provider: str) -> list[LedgerFinding]:
        """Compare each lease's charges and the account's statement with the ledger, without entering anything."""
        found: list[LedgerFinding] = []
        seen: set[str] = set()
        leases = [
            lease
            for lease in await self.store.list_leases()
            if lease.provider == provider and self.plugins.is_known_to_provider(lease)
        ]
        for lease in leases:
            charges = await self.bookkeeping.list_lease_charges(lease)
            if isinstance(charges, Unknown):
                found.append(make_unreadable_finding(provider, charges.reason, lease.id))
                seen |= {line.last.ref for line in await self.bookkeeping.list_lines(lease=lease.id)}
            else:
                found += [
                    *await self._compare_lease(lease, charges.items),
                    *compare_bills(lease, charges.items),
                ]
                seen |= {charge.ref for charge in charges.items}
        found += await self._compare_listing(provider, leases)
        volumes = [one for one in await self.store.list_volumes() if one.provider == provider]
        for volume in volumes:
            found += await self._compare_volume(volume)
            seen |= {line.last.ref for line in await self.bookkeeping.list_lines(lease=volume.id)}
        seen |= {finding.ref for finding in found}
        if self.bookkeeping.has_statement(provider):
            found += await self._compare_account(provider, seen)
            is_over = all(lease.is_over for lease in leases) and all(volume.is_over for volume in volumes)
            if is_over and all(x.difference is Difference.EQUAL for x in found):
                found.append(await self._compare_balance(provider))
        return found

    async def enter_missing(self, findings: Iterable[LedgerFinding]) -> int:
        """Enter what the ledger lacks and return the number of new entries. Existing entries are not changed."""
        entered = await self.store.ledger.add_transactions(
            [entry for finding in findings for entry in finding.entries]
        )
        if entered:
            await self.bookkeeping.heads.record_heads()
        return entered

    async def _compare_lease(self, lease: Lease, charges: Sequence[Charge]) -> list[LedgerFinding]:
        paid = await self.bookkeeping.list_payments(lease=lease.id)
        return await self._compare_charges(
            lease.provider,
            lease.id,
            charges,
            lambda charge: self.bookkeeping.find_missing_entries(lease, [charge], paid),
        )

    async def _compare_volume(self, volume: Volume) -> list[LedgerFinding]:
        charges = await self.volumes.list_charges(volume)
        if isinstance(charges, Unknown):
            return [make_unreadable_finding(volume.provider, charges.reason, volume.id)]
        return await self._compare_charges(
            volume.provider,
            volume.id,
            charges.items,
            lambda charge: self.volumes.find_missing_entries(volume, [charge]),
        )

    async def _compare_charges(
        self,
        provider: str,
        name: str,
        charges: Sequence[Charge],
        find_missing: Callable[[Charge], Awaitable[list[Transaction]]],
    ) -> list[LedgerFinding]:
        """Compare the charges of the lease or volume ``name`` with what the ledger has of it."""
        found = []
        here = {line.line_key: line for line in await self.bookkeeping.list_lines(lease=name)}
        listed: set[LineKey] = set()
        for charge in charges:
            key = (charge.ref, charge.kind)
            if key in listed:
                found.append(make_ledger_finding(provider, Difference.DUPLICATE, charge, None, lease=name))
                continue
            listed.add(key)
            missing = tuple(await find_missing(charge))
            found.append(compare_charge(provider, name, charge, here.get(key), missing))
        for key, line in here.items():
            if key not in listed and line.money.amount:
                found.append(make_unlisted_finding(provider, line))
        return found

    async def _compare_listing(self, provider: str, leases: Sequence[Lease]) -> list[LedgerFinding]:
        """Return the leases that are over by our records, but that the provider itself still lists as running."""
        leases = [lease for lease in leases if not self.plugins.is_of_other_account(lease)]
        over = {lease.ref: lease for lease in leases if lease.is_over and lease.ref}
        if not over:
            return []
        try:
            listed = await self.plugins.provider(provider).list_leases()
        except GpurentError as error:
            listed = make_unknown(error)
        if isinstance(listed, Unknown):
            return [make_unreadable_finding(provider, listed.reason)]
        # A restart continues under the same reference.
        alive = {lease.ref for lease in leases if not lease.is_over}
        return [
            LedgerFinding(
                provider=provider,
                difference=Difference.STILL_RUNNING,
                ref=item.ref,
                lease=over[item.ref].id,
                reason=_("the provider lists {ref} as running; check its page").format(ref=item.ref),
            )
            for item in listed.items
            if item.ref in over and item.ref not in alive and not item.is_over
        ]

    async def _compare_account(self, provider: str, seen: Collection[str]) -> list[LedgerFinding]:
        """Return what the account lists besides the refs in ``seen``, and what only the ledger has."""
        statement = await self.bookkeeping.get_account_statement(provider)
        if isinstance(statement, Unknown):
            return [make_unreadable_finding(provider, statement.reason)]
        account = self.plugins.find_account(provider)
        lines = await self.bookkeeping.list_lines(provider=provider, account=account)
        here = {line.last.ref: line for line in lines if line.money.amount}
        found, listed = [], set[str]()
        for charge in statement.items:
            if charge.ref in listed:
                found.append(make_ledger_finding(provider, Difference.DUPLICATE, charge, None))
            elif charge.ref not in seen:
                missing = tuple(await self.bookkeeping.find_missing_account_entries(provider, [charge]))
                found.append(compare_account_charge(provider, account, charge, here.get(charge.ref), missing))
            listed.add(charge.ref)
        gone = (line for ref, line in here.items() if not line.last.lease and ref not in listed)
        return [*found, *(make_unlisted_finding(provider, line) for line in gone)]

    async def _compare_balance(self, provider: str) -> LedgerFinding:
        """Compare the sum of the ledger with the balance; call it only if all lines are equal."""
        try:
            there = (await self.plugins.billing(provider).get_balance()).available
        except GpurentError as error:
            return make_unreadable_finding(provider, error.message)
        account = self.plugins.find_account(provider)
        sums = sum_balances(await self.store.ledger.list_transactions(provider=provider, account=account))
        here = sums.get((LedgerAccount(f"wallet:{provider}"), there.currency), there.currency.zero)
        what = Difference.EQUAL if here == there else Difference.BALANCE_DIFFERS
        return LedgerFinding(provider=provider, difference=what, ledger_amount=here, statement_amount=there)
