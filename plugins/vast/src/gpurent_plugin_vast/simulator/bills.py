"""What the account is shown of its costs and payments, and the simulator's own ledger: both from the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from attrs import frozen

from gpurent.api import Money, SimulatorLedgerEntry
from gpurent_plugin_vast.simulator.accounts import VastAccount
from gpurent_plugin_vast.simulator.amounts import MICRO_USD, MICROS, make_usd, round_fraction
from gpurent_plugin_vast.simulator.instances import VastInstance
from gpurent_plugin_vast.simulator.meters import SECONDS_PER_HOUR, Meter

DAY = timedelta(days=1)
CARD = "4242"


@frozen
class DayBill:
    """What one instance cost on one day (UTC). ``items``: kind, description, micro-USD; ``at``: its last moment."""

    instance: VastInstance
    day: datetime
    at: datetime
    items: tuple[tuple[str, str, int], ...]

    @property
    def amount(self) -> int:
        return sum(amount for _kind, _description, amount in self.items)


def list_day_bills(instance: VastInstance, now: datetime) -> Iterator[DayBill]:
    """Yield the days of an instance that cost something until ``now``, oldest first."""
    end = instance.destroyed_at or now
    day = instance.created_at.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= end:
        at = min(day + DAY, end)
        items = tuple(_list_items(instance, day, at))
        if items:
            yield DayBill(instance, day, at, items)
        day += DAY


def _list_items(instance: VastInstance, start: datetime, end: datetime) -> Iterator[tuple[str, str, int]]:
    for meter in instance.meters:
        if amount := meter.compute_cost(end) - meter.compute_cost(start):
            yield meter.kind, _describe_use(meter, start, end), amount
    for item in instance.traffic:
        if start <= item.at < start + DAY:
            yield item.kind, "bandwidth", item.amount


def _describe_use(meter: Meter, start: datetime, end: datetime) -> str:
    hours = Fraction(meter.count_seconds(end) - meter.count_seconds(start), SECONDS_PER_HOUR)
    return f"{round_fraction(hours, 3)} hours at ${round_fraction(meter.rate * SECONDS_PER_HOUR / MICROS, 6)}/hour"


def list_charges(account: VastAccount, now: datetime) -> list[dict[str, Any]]:
    """Return the rows of the charges: one for each instance and day. ``day`` is what they are filtered by."""
    bills = [bill for instance in account.instances for bill in list_day_bills(instance, now)]
    return [_make_charge(bill) for bill in bills]


def _make_charge(bill: DayBill) -> dict[str, Any]:
    day, number = int(bill.day.timestamp()), bill.instance.id
    return {
        "start": day,
        "end": day,
        "type": "instance",
        "source": f"instance-{number}",
        "description": f"Instance {number} Charges - 1 day",
        "amount": make_usd(bill.amount),
        "metadata": {"label": bill.instance.label},
        "items": [
            {
                "start": day,
                "end": day,
                "type": kind,
                "source": None,
                "description": text,
                "amount": make_usd(amount),
                "metadata": {},
                "items": [],
            }
            for kind, text, amount in bill.items
        ],
    }


def list_invoices(account: VastAccount, now: datetime) -> list[dict[str, Any]]:
    """Return the rows of the invoices: what was paid in, prepaid, and given back.

    As documented by an example, an amount that was paid by card is below zero.
    """
    rows = [
        _make_invoice(paid.at, "credit", "stripe", -paid.amount, paid.id, f"Card ending in {CARD}")
        for paid in account.payments
    ]
    for instance in account.instances:
        source = f"instance-{instance.id}"
        for number, (at, kind, amount) in enumerate(instance.iter_movements(now)):
            if kind != "prepaid-usage":
                name = "reserved" if kind == "prepay" else "refund"
                text = f"Instance {instance.id} {kind}"
                rows.append(_make_invoice(at, name, source, amount, instance.id * 1000 + number, text))
    return rows


def _make_invoice(
    at: datetime, kind: str, source: str, micros: int, number: int, description: str
) -> dict[str, Any]:
    when = int(at.timestamp())
    service = "stripe_payments" if kind == "credit" else kind
    metadata: dict[str, Any] = {"invoice_id": number, "service": service}
    if kind == "credit":
        metadata |= {"last4": CARD, "network": "visa"}
    return {
        "start": when,
        "end": when,
        "type": kind,
        "source": source,
        "description": description,
        "amount": make_usd(micros),
        "metadata": metadata,
        "items": [],
    }


def list_ledger(accounts: Sequence[VastAccount], now: datetime) -> list[SimulatorLedgerEntry]:
    """Return the ledger until ``now``, oldest first: a line for each payment, and for each instance and day.

    Its sum is each account's credit.
    """
    found = []
    for account in accounts:
        found += [
            _make_entry(paid.at, account, "credit", paid.amount, str(paid.id)) for paid in account.payments
        ]
        for instance in account.instances:
            ref = str(instance.id)
            found += [
                _make_entry(bill.at, account, "usage", -bill.amount, ref)
                for bill in list_day_bills(instance, now)
            ]
            found += [
                _make_entry(at, account, kind, amount, ref)
                for at, kind, amount in instance.iter_movements(now)
            ]
    return sorted(found, key=lambda entry: entry.at)


def _make_entry(at: datetime, account: VastAccount, kind: str, micros: int, ref: str) -> SimulatorLedgerEntry:
    return SimulatorLedgerEntry(
        at=at, account=str(account.id), kind=kind, amount=Money(micros, MICRO_USD), ref=ref
    )


def describe_deposit(instance: VastInstance, refund: int, now: datetime) -> dict[str, Any]:
    """Return what the deposit of an instance is worth."""
    months = instance.deposit.months if instance.deposit else Fraction(0)
    return {
        "success": True,
        "refundable_deposit": make_usd(refund),
        "total_discount": make_usd(instance.compute_discount(now)),
        "discount_months": round_fraction(months, 4),
    }
