"""Reports and budgets over many past trips: the same number of statements, however many there are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.costs import create_trips, measure
from gpurent.domain.money import CNY
from gpurent.domain.offer import Bill
from gpurent.domain.payments import AuthorizedBill
from gpurent.domain.trip import AgreedPrice, TripSpec
from gpurent.workflow.payments.pay import PaymentAuthorizer
from gpurent.workflow.runtime.durable_steps import TripContext
from tests.cli.many_leases import many_leases


async def test_costs_take_the_same_statements_for_twice_the_trips(tmp_path: Path) -> None:
    counts = []
    for number in (200, 400):
        await create_trips(tmp_path / str(number), number)
        _seconds, statements = await measure(tmp_path / str(number), 1)
        counts.append(statements)
    assert counts[0] == counts[1] <= 20


async def test_a_provider_that_hangs_does_not_hold_the_lock_of_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with many_leases(tmp_path, 3) as made:
        application, asked = made.application, asyncio.Event()
        application.settings.sections = {"budget": {"month": "500CNY"}}

        async def hang(lease: object) -> None:
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(type(made.provider), "list_charges", lambda _self, lease: hang(lease))
        record = await application.store.begin_trip("t-1", "rent", TripSpec(provider="acme"))
        trip = TripContext(application.store, application.events, record.id)
        bill = Bill(key="b-1", payee="p", amount=CNY.money(1))
        authorizer: PaymentAuthorizer = application.money.payments.authorizer
        record_of_bill = AuthorizedBill(
            key=bill.key, trip=trip.id, provider="acme", amount=bill.amount, purpose=bill.purpose
        )
        paying = asyncio.create_task(authorizer.authorize_bill(trip, bill, record_of_bill, AgreedPrice()))
        async with asyncio.timeout(5):
            await asked.wait()
            async with application.locks.lock_lease("budget"):
                assert not paying.done()
        paying.cancel()
        await asyncio.gather(paying, return_exceptions=True)
        assert not await application.budgets.is_authorized(bill)
