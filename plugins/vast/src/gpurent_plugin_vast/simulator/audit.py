"""An account for automatic tests, and what does not add up in the simulator's books."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise

from gpurent.api import (
    Discrepancy,
    DiscrepancyKind,
    Money,
    SimulatedAccounts,
    SupportsPaging,
    SupportsSignUp,
)
from gpurent_plugin_vast.simulator.accounts import VastAccount
from gpurent_plugin_vast.simulator.amounts import MICRO_USD
from gpurent_plugin_vast.simulator.instances import VastInstance
from gpurent_plugin_vast.simulator.meters import SECOND, SECONDS_PER_HOUR
from gpurent_plugin_vast.simulator.state import VastState


class VastAudit(SimulatedAccounts[VastAccount], SupportsSignUp, SupportsPaging):
    """Opens the first account, and recomputes what each instance may have cost from the history of its states."""

    state: VastState
    funds = Money(100_000_000, MICRO_USD)

    def get_login_fields(self) -> Mapping[str, str]:
        return {"api_key": self.state.accounts[0].api_key}

    async def sign_up(self) -> Mapping[str, str]:
        async with self.state.lock:
            return {"api_key": self.state.make_account().api_key}

    def pay_in(self, account: VastAccount, amount: int) -> None:
        self.state.add_credit(account, amount)

    def limit_pages(self, rows: int) -> None:
        self.state.longest_page = rows

    def audit_account(self, account: VastAccount) -> Iterator[Discrepancy]:
        """Yield second instances for one label, what failed creates left behind, charges for nothing, and refunds due.

        An instance that has cost nothing yet counts as one micro-USD.
        """
        for instance in account.instances:
            if _has_twin(account, instance):
                yield self._make(DiscrepancyKind.DOUBLE_ORDER, account, instance)
            elif instance.is_leftover and instance.destroyed_at is None:
                yield self._make(DiscrepancyKind.UNUSED_PAYMENT, account, instance)
            if (excess := _compute_excess(instance, self.state.at)) > 0:
                yield self._make(DiscrepancyKind.UNUSED_PAYMENT, account, instance, excess)
            due = self.state.life.compute_refund(instance, instance.destroyed_at or self.state.at)
            returned = instance.refund[1] if instance.refund else 0
            if instance.destroyed_at is not None and due > returned:
                yield self._make(DiscrepancyKind.MISSING_REFUND, account, instance, due - returned)

    def _make(
        self, kind: DiscrepancyKind, account: VastAccount, instance: VastInstance, micros: int = 0
    ) -> Discrepancy:
        amount = micros or max(1, instance.compute_cost(self.state.at))
        return Discrepancy(
            kind=kind, account=str(account.id), ref=str(instance.id), amount=Money(amount, MICRO_USD)
        )


def _has_twin(account: VastAccount, instance: VastInstance) -> bool:
    """Return whether it was created with a label that an instance had which was there, and had been created well."""
    label = instance.wish.label
    return bool(label) and any(
        other.id < instance.id
        and other.wish.label == label
        and not other.is_leftover
        and (other.destroyed_at is None or other.destroyed_at > instance.created_at)
        for other in account.instances
    )


def _compute_excess(instance: VastInstance, now: datetime) -> int:
    """Return what was charged for GPUs that did not run, or after the end."""
    times = [*instance.history, (instance.destroyed_at or now, None, 0)]
    allowed = sum(
        price * max(0, (end - start) // SECOND) // SECONDS_PER_HOUR
        for (start, status, price), (end, _status, _price) in pairwise(times)
        if status == "running"
    )
    late = 0
    if instance.destroyed_at is not None:
        late = instance.compute_cost(now) - instance.compute_cost(instance.destroyed_at)
    return max(0, instance.compute_gpu_cost(now) - allowed, late)
