"""An account for automatic tests, and what does not add up in the simulator's books."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise

from gpurent.api import (
    Currency,
    Discrepancy,
    DiscrepancyKind,
    Money,
    SimulatedAccounts,
    SupportsPaging,
)
from gpurent_plugin_autodl.simulator.instances import HOUR_SECONDS, SECOND, AutodlInstance
from gpurent_plugin_autodl.simulator.state import AutodlAccount, AutodlState

MILLI_YUAN = Currency("CNY", 3)
TWIN_RUNS = timedelta(minutes=10)
"""The service takes no key with a create: one that arrives twice costs until its client has seen and ended it."""


class AutodlAudit(SimulatedAccounts[AutodlAccount], SupportsPaging):
    """Opens the first account, and recomputes what each instance may have cost from the history of its states."""

    state: AutodlState
    funds = Money(500_000, MILLI_YUAN)

    def get_login_fields(self) -> Mapping[str, str]:
        return {"api_key": self.state.accounts[0].token}

    def pay_in(self, account: AutodlAccount, amount: int) -> None:
        self.state.pay_in(account, amount)

    def limit_pages(self, rows: int) -> None:
        self.state.longest_page = rows

    def audit_account(self, account: AutodlAccount) -> Iterator[Discrepancy]:
        """Yield second instances of one name that were left to run, and charges for what did not run."""
        for number, instance in enumerate(account.instances):
            twins = [other for other in account.instances[:number] if _is_twin(other, instance)]
            ran = [min(_sum_runs(one, self.state.at) for one in (other, instance)) for other in twins]
            if max(ran, default=timedelta()) > TWIN_RUNS:
                cost = instance.compute_cost(self.state.at)
                yield self._make(DiscrepancyKind.DOUBLE_ORDER, account, instance, cost)
            if (excess := _compute_excess(instance, self.state.at)) > 0:
                yield self._make(DiscrepancyKind.UNUSED_PAYMENT, account, instance, excess)

    def _make(
        self, kind: DiscrepancyKind, account: AutodlAccount, instance: AutodlInstance, amount: int
    ) -> Discrepancy:
        return Discrepancy(
            kind=kind, account=str(account.uid), ref=instance.id, amount=Money(amount, MILLI_YUAN)
        )


def _is_twin(first: AutodlInstance, second: AutodlInstance) -> bool:
    """Whether the second was created with the name of one that was not released."""
    released = next((at for at, status in first.history if status == "releasing"), None)
    is_there = released is None or released > second.created_at
    return bool(second.wish.name) and first.wish.name == second.wish.name and is_there


def _sum_runs(instance: AutodlInstance, now: datetime) -> timedelta:
    return sum(((run.stopped_at or now) - run.started_at for run in instance.runs), timedelta())


def _compute_excess(instance: AutodlInstance, now: datetime) -> int:
    """Return what was charged beyond the time in which it ran or was shutting down."""
    spans = [
        (start, end)
        for (start, status), (end, _next) in pairwise([*instance.history, (now, "")])
        if status in ("running", "shutting_down")
    ]
    allowed, runs = 0, 0
    for number, (start, end) in enumerate(spans):
        allowed += -(-(end - start) // SECOND) * instance.price
        runs += number == 0 or spans[number - 1][1] != start
    return instance.compute_cost(now) - (-(-allowed // HOUR_SECONDS) + max(0, runs - 1))
