"""What is paid, refunded, spent and held, by currency."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gpurent.domain.money import CNY, USD, Currency, Money
from gpurent.domain.receipt import Charge, ChargeKind, Receipt, ReceiptTotal, sum_charges

AT = datetime(2026, 3, 1, tzinfo=UTC)


def make_charge(kind: ChargeKind, amount: int, currency: Currency = CNY) -> Charge:
    return Charge(at=AT, kind=kind, money=Money(amount, currency), ref="r")


def make_total(paid: int, refunded: int, held: int, currency: Currency = CNY) -> ReceiptTotal:
    return ReceiptTotal(
        currency=currency,
        paid=Money(paid, currency),
        refunded=Money(refunded, currency),
        spent=Money(paid - refunded, currency),
        held=Money(held, currency),
    )


@pytest.mark.parametrize(
    ("kind", "total"),
    [
        (ChargeKind.USAGE, make_total(7, 0, 0)),
        (ChargeKind.RENEWAL, make_total(7, 0, 0)),
        (ChargeKind.FEE, make_total(7, 0, 0)),
        (ChargeKind.REFUND, make_total(0, 7, 0)),
        (ChargeKind.DEPOSIT, make_total(0, 0, 7)),
        (ChargeKind.HOLD, make_total(0, 0, 7)),
        (ChargeKind.DEPOSIT_REFUND, make_total(0, 0, -7)),
        (ChargeKind.TOP_UP, make_total(0, 0, 0)),
        (ChargeKind.TRANSFER, make_total(0, 0, 0)),
    ],
)
def test_where_each_kind_is_counted(kind: ChargeKind, total: ReceiptTotal) -> None:
    assert sum_charges([make_charge(kind, 7)]) == (total,)


def test_charges_add_up_in_each_currency_alone() -> None:
    charges = [
        make_charge(ChargeKind.DEPOSIT, 600),
        make_charge(ChargeKind.USAGE, 350),
        make_charge(ChargeKind.FEE, 9, USD),
        make_charge(ChargeKind.USAGE, 50),
        make_charge(ChargeKind.HOLD, 10),
        make_charge(ChargeKind.REFUND, 30),
        make_charge(ChargeKind.REFUND, 5),
        make_charge(ChargeKind.DEPOSIT_REFUND, 500),
        make_charge(ChargeKind.DEPOSIT_REFUND, 40),
    ]
    totals = (make_total(400, 35, 70), make_total(9, 0, 0, USD))
    assert sum_charges(charges) == totals
    receipt = Receipt(lease="x-1", provider="acme", charges=charges, started_at=AT, ended_at=None)
    assert receipt.totals() == totals
    assert sum_charges([]) == ()
