"""An account that is billed afterwards: it has no balance, and what its leases cost is computed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.cli.views.plan import format_preview
from gpurent.composition.application import Application
from gpurent.domain.evidence import Known
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, USD, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Order, OrderKind, Requirements
from gpurent.domain.receipt import Charge
from gpurent.domain.time_left import TimeKind
from gpurent.domain.trip import TripSpec
from gpurent.errors import MoneyError, Spent
from gpurent.roles.account import PostpaidBilling
from gpurent.testing.fakes import ManualClock
from gpurent.workflow.payments.budgets import BudgetLimit
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.trips.proposals import propose_order
from tests.workflow.trip_sandbox import trip_sandbox

START = datetime(2026, 11, 30, 8, tzinfo=UTC)
PAGE = "https://service.example/billing"


def make_lease(**changes: Any) -> Lease:
    offer = Offer(
        key="a10",
        provider="service",
        hardware=Hardware(gpu="A10", gpus=1),
        tariff=Metered(price=UnitPrice(Decimal("0.75"), USD), billing_increment=timedelta(minutes=1)),
    )
    lease = Lease(
        id="one", provider="service", offer=offer, state=LeaseState.READY, ref="i-1", started_at=START
    )
    return evolve(lease, **changes)


async def list_charges(now: datetime, **changes: Any) -> list[Charge]:
    billing = PostpaidBilling(ManualClock(now), "Service", USD, PAGE)
    found = await billing.list_charges(make_lease(**changes))
    assert isinstance(found, Known)
    return list(found.items)


async def test_the_charge_is_each_started_minute_until_the_end() -> None:
    (running,) = await list_charges(START + timedelta(minutes=9, seconds=1))
    assert (running.money, running.growing, running.ref) == (USD.money("0.13"), True, "i-1")
    assert "states no charges" in running.note
    ended = START + timedelta(hours=2)
    (over,) = await list_charges(START + timedelta(days=3), state=LeaseState.RELEASED, ended_at=ended)
    assert (over.money, over.at, over.growing) == (USD.money("1.50"), ended, False)
    assert await list_charges(START, started_at=None) == []
    assert await list_charges(START) == []


async def test_it_states_no_balance_and_nothing_is_topped_up() -> None:
    billing = PostpaidBilling(ManualClock(START), "Service", USD, PAGE)
    with pytest.raises(MoneyError, match="bills afterwards") as refused:
        await billing.get_balance()
    assert (refused.value.spent, PAGE in refused.value.hint) == (Spent.NO, True)
    shown = await billing.create_top_up(USD.money(10))
    assert shown.url == PAGE


@pytest.fixture
async def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Application]:
    """A user of a provider that charges as time passes, as if it billed afterwards."""
    async with trip_sandbox(tmp_path, speed=1, machines=5) as sandbox, sandbox.open_application() as made:
        await made.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
        await sandbox.top_up_mistgpu(made, "35")
        postpaid = PostpaidBilling(ManualClock(START), "MISTGPU", CNY, PAGE)
        monkeypatch.setattr(Plugins, "billing", lambda _plugins, _provider: postpaid)
        yield made


async def test_a_trip_needs_no_balance_and_no_balance_limits_its_time(application: Application) -> None:
    assert await application.account_money.find_balance("mistgpu") is None
    spec = TripSpec(requirements=Requirements(gpu="2080Ti"), provider="mistgpu")
    preview = await application.dry_run.preview_trip(spec)
    assert (preview.balance, preview.refusals, preview.max_runtime) == (None, (), None)
    assert "billed afterwards" in format_preview(preview, spec, None)
    lease = await application.trips.rent(spec)
    left = (await application.time_left.get_time_left([lease]))[lease.id]
    assert (left.kind, left.until) == (TimeKind.OPEN, None)
    assert "billed afterwards" in left.note


def test_the_proposal_says_that_it_is_billed_afterwards() -> None:
    order = Order(key="k", kind=OrderKind.NEW, offer=make_lease().offer)
    funding = Funding(ceiling=USD.money("0.75"), deposit=None, budget=None, balance=None)
    for limits, expected in (
        ([], "no budget is set"),
        ([BudgetLimit(name="trip", money=USD.money(5))], "trip: "),
    ):
        shown = " ".join(propose_order(order, funding, limits, None).details)
        assert "The account is billed afterwards" in shown
        assert expected in shown
