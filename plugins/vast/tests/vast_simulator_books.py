"""What a rental should cost, summed up from prices and times, and the check that all books agree."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

from plugins.vast.tests.vast_simulator_harness import MICROS, VastApi, to_micros

DAY_SECONDS = 24 * 3600


def gpu_cost(price: Any, seconds: int) -> int:
    """Return what the GPUs cost for whole seconds; ``price``: USD per hour."""
    return floor(Fraction(price) * MICROS * seconds / 3600)


def disk_cost(price: Any, gigabytes: int, seconds: int) -> int:
    """Return what storage costs; ``price``: USD per GB and month of 30 days."""
    return floor(Fraction(price) * MICROS * gigabytes * seconds / (30 * DAY_SECONDS))


async def check_books(api: VastApi) -> None:
    """Check that credit, charges, invoices and ledger say the same, and that nothing is left over."""
    credit = await api.credit()
    entries = api.simulator.list_ledger_entries()
    assert sum(entry.amount.amount for entry in entries) == credit
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    usage = -sum(entry.amount.amount for entry in entries if entry.kind == "usage")
    rows = await api.charges()
    assert sum(to_micros(row["amount"]) for row in rows) == usage
    for row in rows:
        assert sum(to_micros(item["amount"]) for item in row["items"]) == to_micros(row["amount"])
    paid = [row for row in (await api.get("/api/v1/invoices/")).data["results"] if row["type"] == "credit"]
    assert -sum(to_micros(row["amount"]) for row in paid) == sum(
        entry.amount.amount for entry in entries if entry.kind == "credit"
    )
    assert await api.simulator.list_discrepancies() == []
