"""Accounts: keys, a balance, bills, and what becomes of one that owes money."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from attrs import define, field, frozen

from gpurent_plugin_compshare.simulator.amounts import CHINA, Bill, Meter, make_yuan
from gpurent_plugin_compshare.simulator.instances import CompShareInstance

QUOTAS = (1, 5, 20, 50, 100)
WARNED_AFTER, STOPPED_AFTER, DELETED_AFTER = timedelta(minutes=30), timedelta(hours=1), timedelta(hours=12)
FIRST_DELETING_HOUR, LAST_DELETING_HOUR = 10, 19
ARREARS_STEPS = ("warned", "stopped", "deleted")
_NUMBERS = count(1)


@frozen
class TopUp:
    """Money that was paid in, in units."""

    id: int
    at: datetime
    amount: int


@define(eq=False, kw_only=True)
class CompShareAccount:
    """One account. ``coupon``: what coupons will pay first; ``level``: how many machines it may have.

    ``owing_since``: when its balance fell below zero; ``arrears_step``: how far the measures against that have come.
    """

    project: str
    email: str
    level: int
    has_real_name: bool = True
    has_unpaid_order: bool = False
    public_key: str = field(factory=lambda: secrets.token_urlsafe(24))
    private_key: str = field(factory=lambda: secrets.token_urlsafe(24), repr=False)
    coupon: int = 0
    top_ups: list[TopUp] = field(factory=list)
    bills: list[Bill] = field(factory=list)
    instances: list[CompShareInstance] = field(factory=list)
    left_disks: list[Meter] = field(factory=list)
    owing_since: datetime | None = None
    arrears_step: int = 0

    @property
    def balance(self) -> int:
        return sum(paid.amount for paid in self.top_ups) - sum(bill.cash for bill in self.bills)

    @property
    def quota(self) -> int:
        return QUOTAS[min(self.level, len(QUOTAS) - 1)]

    def list_instances(self) -> list[CompShareInstance]:
        """Return the machines that are there."""
        return [instance for instance in self.instances if instance.deleted_at is None]

    def find_instance(self, instance_id: str) -> CompShareInstance | None:
        return next((found for found in self.list_instances() if found.id == instance_id), None)

    def list_meters(self) -> list[Meter]:
        return [*(instance.meter for instance in self.instances), *self.left_disks]

    def add_bill(
        self, meter: Meter, order_type: str, start: datetime, end: datetime, amount: int, at: datetime
    ) -> None:
        """Write a bill, which coupons pay first; nothing for an amount of zero."""
        if not amount:
            return
        coupon = min(self.coupon, max(0, amount))
        self.coupon -= coupon
        number = f"order-{next(_NUMBERS):08d}"
        self.bills.append(
            Bill(
                number=number,
                resource=meter.resource,
                order_type=order_type,
                charge_type=meter.charge_type,
                start=start,
                end=end,
                at=at,
                amount=amount,
                coupon=coupon,
            )
        )
        self.check_arrears(at)

    def settle(self, meter: Meter, at: datetime) -> None:
        """Charge what a meter has run up until now."""
        start, amount = meter.take_cost(at)
        self.add_bill(meter, "OT_POSTPAID_PAYMENT", start, at, amount, at)

    def set_rate(self, meter: Meter, rate: int, at: datetime) -> None:
        """Settle, and go on at another rate."""
        self.settle(meter, at)
        meter.set_rate(rate, at)

    def check_arrears(self, at: datetime) -> None:
        if self.balance >= 0:
            self.owing_since, self.arrears_step = None, 0
        elif self.owing_since is None:
            self.owing_since = at

    def find_arrears_step(self) -> datetime | None:
        """Return when the next measure is taken; deletions between 10:00 and 19:00 in China only."""
        if self.owing_since is None or self.arrears_step >= len(ARREARS_STEPS):
            return None
        due = self.owing_since + (WARNED_AFTER, STOPPED_AFTER, DELETED_AFTER)[self.arrears_step]
        local = due + CHINA
        if ARREARS_STEPS[self.arrears_step] == "deleted" and not (
            FIRST_DELETING_HOUR <= local.hour < LAST_DELETING_HOUR
        ):
            morning = local.replace(hour=FIRST_DELETING_HOUR, minute=0, second=0, microsecond=0)
            due = morning + timedelta(days=int(local.hour >= LAST_DELETING_HOUR)) - CHINA
        return due

    def describe_balance(self) -> dict[str, Any]:
        amount = f"{make_yuan(self.balance):f}"
        free = {"AmountCredit": "0.00", "AmountFree": "0.00", "AmountFreeze": "0.00"}
        return {"Amount": amount, "AmountAvailable": amount, **free}
