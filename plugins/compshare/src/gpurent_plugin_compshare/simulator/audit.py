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
)
from gpurent_plugin_compshare.simulator.accounts import CompShareAccount
from gpurent_plugin_compshare.simulator.amounts import CNY, SECOND, SECONDS_PER_HOUR, UNITS, Meter
from gpurent_plugin_compshare.simulator.instances import CompShareInstance
from gpurent_plugin_compshare.simulator.state import CompShareState


class CompShareAudit(SimulatedAccounts[CompShareAccount]):
    """Opens the first account, and recomputes from the history of its rates what each machine may have cost."""

    state: CompShareState
    funds = Money(1_000 * UNITS, CNY)

    def get_login_fields(self) -> Mapping[str, str]:
        account = self.state.accounts[0]
        return {"public_key": account.public_key, "private_key": account.private_key}

    def pay_in(self, account: CompShareAccount, amount: int) -> None:
        self.state.add_money(account, amount)

    def audit_account(self, account: CompShareAccount) -> Iterator[Discrepancy]:
        """Yield second machines of one name, disks that nobody uses, charges for nothing, and refunds that are due."""
        for instance in account.instances:
            if _has_twin(account, instance):
                yield _make(DiscrepancyKind.DOUBLE_ORDER, account, instance.id, 1)
            if (due := _compute_missing_refund(account, instance)) > 0:
                yield _make(DiscrepancyKind.MISSING_REFUND, account, instance.id, due)
        for disk in account.left_disks:
            yield _make(DiscrepancyKind.UNUSED_PAYMENT, account, disk.resource, max(1, disk.rate))
        for meter in account.list_meters():
            if (excess := _compute_excess(account, meter, self.state.at)) > 0:
                yield _make(DiscrepancyKind.UNUSED_PAYMENT, account, meter.resource, excess)


def _make(kind: DiscrepancyKind, account: CompShareAccount, ref: str, units: int) -> Discrepancy:
    return Discrepancy(kind=kind, account=account.project, ref=ref, amount=Money(units, CNY))


def _has_twin(account: CompShareAccount, instance: CompShareInstance) -> bool:
    """Return whether it was created with a name that a machine had which was there."""
    return bool(instance.wish.name) and any(
        other.id < instance.id
        and other.wish.name == instance.wish.name
        and (other.deleted_at is None or other.deleted_at > instance.created_at)
        for other in account.instances
    )


def _compute_missing_refund(account: CompShareAccount, instance: CompShareInstance) -> int:
    if instance.deleted_at is None:
        return 0
    bills = [bill for bill in account.bills if bill.resource == instance.id]
    returned = -sum(bill.amount for bill in bills if bill.order_type == "OT_REFUND")
    return instance.compute_refund(instance.deleted_at) - returned


def _compute_excess(account: CompShareAccount, meter: Meter, now: datetime) -> int:
    """Return what was charged by the hour beyond the rates of its history; each bill may be rounded up by a unit."""
    bills = [
        bill
        for bill in account.bills
        if bill.resource == meter.resource and bill.order_type == "OT_POSTPAID_PAYMENT"
    ]
    allowed = sum(
        rate * ((end - start) // SECOND + 1)
        for (start, rate), (end, _rate) in pairwise([*meter.history, (now, 0)])
    )
    charged = sum(bill.amount for bill in bills)
    return charged - allowed // SECONDS_PER_HOUR - len(bills) - 1
