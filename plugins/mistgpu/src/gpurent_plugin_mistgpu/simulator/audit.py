"""The simulator's account for automatic tests, and what does not add up in its books."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

from gpurent.api import (
    CNY,
    Discrepancy,
    DiscrepancyKind,
    Money,
    SimulatorContext,
    SupportsAudit,
    SupportsFunding,
    SupportsHiding,
    SupportsSignUp,
    UsageError,
)
from gpurent_plugin_mistgpu.simulator.state import MistgpuAccount, MistgpuState, RentedServer

TOP_UP_YUAN = "1000"


class MistgpuAudit(SupportsFunding, SupportsSignUp, SupportsAudit, SupportsHiding):
    """Opens the first account, and recomputes every bill from the times and prices of the servers' runs."""

    state: MistgpuState
    _context: SimulatorContext
    _hidden_until: datetime | None = None

    def get_login_fields(self) -> Mapping[str, str]:
        account = next(iter(self.state.accounts.values()))
        return {"username": account.name, "password": account.password}

    async def sign_up(self) -> Mapping[str, str]:
        async with self.state.lock:
            name, password = f"student{len(self.state.accounts) + 1}", secrets.token_urlsafe(12)
            self.state.accounts[name] = MistgpuAccount(name, password)
        return {"username": name, "password": password}

    async def add_money(self, account: str) -> Money:
        async with self.state.lock:
            await self.state.catch_up()
            if account not in self.state.accounts:
                raise UsageError(f"no account {account!r}")
            self.state.settle_top_up(self.state.create_top_up(account, TOP_UP_YUAN))
        return CNY.money(TOP_UP_YUAN)

    def hide_machines(self, until: datetime) -> None:
        self._hidden_until = until

    def list_shown_servers(self, user: str) -> list[RentedServer]:
        """Return what the server list shows."""
        is_hidden = self._hidden_until is not None and self._context.clock.now() < self._hidden_until
        return [] if is_hidden else self.state.list_servers(user)

    async def list_discrepancies(self) -> Sequence[Discrepancy]:
        """Return what was charged beyond the begun minutes; an account that is metered has no orders to pay twice."""
        async with self.state.lock:
            await self.state.catch_up()
            return [
                Discrepancy(
                    kind=DiscrepancyKind.UNUSED_PAYMENT,
                    account=name,
                    ref=server.id,
                    amount=Money(excess, CNY),
                )
                for name in self.state.accounts
                for server in self.state.list_billed_servers(name)
                if (excess := _compute_excess(server)) > 0
            ]


def _compute_excess(server: RentedServer) -> int:
    return sum(run.paid - run.price * run.minutes // 60 for run in server.runs)
