"""An account for automatic tests, the ledger, and what does not add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from gpurent.api import (
    Discrepancy,
    DiscrepancyKind,
    Money,
    SimulatorLedgerEntry,
    SupportsAudit,
    SupportsFunding,
    SupportsHiding,
)
from gpurent_plugin_lambda.simulator.state import MICRO_USD, LambdaAccount, LambdaInstance, LambdaState


class LambdaAudit(SupportsFunding, SupportsAudit, SupportsHiding):
    """Opens the first account: it is billed afterwards, so there is nothing to pay in."""

    state: LambdaState

    def get_login_fields(self) -> Mapping[str, str]:
        return {"api_key": self.state.accounts[0].api_key}

    async def add_money(self, account: str) -> Money:
        return MICRO_USD.zero

    def hide_machines(self, until: datetime) -> None:
        self.state.hidden_until = until

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        """Return what each instance has cost so far; the line of one that is there grows."""
        found = [
            SimulatorLedgerEntry(
                at=one.ended_at or self.state.at,
                account=account.lrn,
                kind="usage",
                amount=Money(-cost, MICRO_USD),
                ref=one.id,
            )
            for account in self.state.accounts
            for one in account.instances
            if (cost := one.compute_cost(self.state.at))
        ]
        return sorted(found, key=lambda entry: entry.at)

    async def list_discrepancies(self) -> Sequence[Discrepancy]:
        """Return second instances of one name: the service itself would take as many as one asks for."""
        async with self.state.lock:
            await self.state.catch_up()
            return [
                Discrepancy(
                    kind=DiscrepancyKind.DOUBLE_ORDER,
                    account=account.lrn,
                    ref=one.id,
                    amount=Money(max(1, one.compute_cost(self.state.at)), MICRO_USD),
                )
                for account in self.state.accounts
                for one in account.instances
                if _has_twin(account, one)
            ]


def _has_twin(account: LambdaAccount, instance: LambdaInstance) -> bool:
    """Return whether there was another instance of that name when it was launched."""
    earlier = account.instances[: account.instances.index(instance)]
    return bool(instance.name) and any(
        other.name == instance.name and (other.ended_at is None or other.ended_at > instance.launched_at)
        for other in earlier
    )
