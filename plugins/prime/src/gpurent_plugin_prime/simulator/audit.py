"""An account for automatic tests, the ledger, and what does not add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from gpurent.api import (
    Discrepancy,
    DiscrepancyKind,
    Money,
    SimulatedAccounts,
    SimulatorLedgerEntry,
)
from gpurent_plugin_prime.simulator.state import MICRO_USD, Pod, PrimeAccount, PrimeState, Resource


class PrimeAudit(SimulatedAccounts[PrimeAccount]):
    """Opens the first account."""

    state: PrimeState
    funds = Money(1_000_000_000, MICRO_USD)

    def get_login_fields(self) -> Mapping[str, str]:
        return {"api_key": self.state.accounts[0].api_key}

    def pay_in(self, account: PrimeAccount, amount: int) -> None:
        self.state.pay_in(account, amount)

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        """Return the payments, and what each pod and disk has cost so far; the line of one that is there grows."""
        found = []
        for account in self.state.accounts:
            lines = [
                (at, "payment", micros, f"payment-{number}")
                for number, (at, micros) in enumerate(account.payments, 1)
            ]
            lines += [
                (one.ended_at or self.state.at, one.kind, -cost, one.id)
                for one in account.resources
                if (cost := one.compute_cost(self.state.at))
            ]
            found += [
                SimulatorLedgerEntry(
                    at=at, account=account.wallet_id, kind=kind, amount=Money(micros, MICRO_USD), ref=ref
                )
                for at, kind, micros, ref in lines
            ]
        return sorted(found, key=lambda entry: entry.at)

    def audit_account(self, account: PrimeAccount) -> Iterator[Discrepancy]:
        """Yield second pods and disks of one name, and pods that cost something before they were active."""
        for one in account.resources:
            if _has_twin(account.pods if isinstance(one, Pod) else account.disks, one, self.state.at):
                cost = Money(max(1, one.compute_cost(self.state.at)), MICRO_USD)
                yield Discrepancy(
                    kind=DiscrepancyKind.DOUBLE_ORDER, account=account.wallet_id, ref=one.id, amount=cost
                )


def _has_twin(alike: Sequence[Resource], one: Resource, at: datetime) -> bool:
    """Return whether there was another one of that name when it was created, and it was billed.

    A disk is billed from its creation on: one that was deleted within a second has cost nothing.
    """
    earlier = alike[: alike.index(one)]
    is_billed = one.billed_from is not None and (isinstance(one, Pod) or one.compute_cost(at) > 0)
    return is_billed and any(
        other.name == one.name and (other.ended_at is None or other.ended_at > one.created_at)
        for other in earlier
    )
