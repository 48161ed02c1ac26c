"""What was confirmed is the most that is paid, whatever rates and prices do; and budgets that really stop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.money import CNY, USD, Money
from gpurent.domain.offer import Bill, Purpose, Requirements
from gpurent.domain.trip import JobSpec, Plan, Results, TripLimits, TripSpec, Upload
from gpurent.errors import GpurentError, MoneyError, OverBudget, Spent
from tests.workflow.test_market import configure, rates
from tests.workflow.world import Person, World, world

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ONE = 10**8
GPU = TripSpec(requirements=Requirements(gpu="2080Ti"), limits=TripLimits(term=HOUR), provider="1024gpu")
CPU = TripSpec(
    requirements=Requirements(gpus=0, cpu_only=True), limits=TripLimits(term=DAY), provider="1024gpu"
)


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=120, machines=3) as made:
        yield made


async def enter(land: World, application: Application, dbc: str = "90000") -> None:
    await application.account_commands.login("1024gpu", {})
    await land.faucet(application, dbc)


async def wealth(application: Application) -> int:
    return (await application.account_money.balance("1024gpu")).available.amount


def price(land: World, value: str, age: timedelta | None = None) -> None:
    portal: Any = land.cloud.portals["dbc"]
    portal._priced = (Decimal(value), land.cloud.clock.now() - age if age else None)


def when(person: Person, kind: EventKind, step: str, act: Callable[[], None]) -> None:
    done: list[Event] = []

    def watch(event: Event) -> None:
        if event.kind is kind and event.step == step and not done:
            done.append(event)
            act()

    person.watchers.append(watch)


BAD = [("0", None), ("-0.0026", None), ("0.0026", timedelta(hours=7)), ("0.00026", None), ("0.026", None)]


@pytest.mark.parametrize(("value", "age"), BAD[:3])
async def test_a_bad_rate_gives_no_quote_and_no_order(land: World, value: str, age: timedelta | None) -> None:
    async with land.application(Person(agrees=True)) as application:
        await enter(land, application)
        price(land, value, age)
        with pytest.raises(MoneyError, match="rate") as caught:
            await application.trips.rent(GPU)
        assert caught.value.spent is Spent.NO
        assert await wealth(application) >= 89999 * ONE, "the mail was bound, nothing else"
        assert land.books("1024gpu").orders == {}


@pytest.mark.parametrize(("value", "age"), BAD)
async def test_a_rate_gone_bad_after_the_order_is_never_paid_whatever_was_said_before(
    land: World, value: str, age: timedelta | None
) -> None:
    person = Person(agrees=True)
    async with land.application(person) as application:
        await enter(land, application)
        when(person, EventKind.STEP_DONE, "leg0.reserve", lambda: price(land, value, age))
        with pytest.raises(MoneyError, match="rate") as caught:
            await application.trips.rent(GPU)
        assert caught.value.spent is Spent.NO
        assert await wealth(application) >= 89999 * ONE
    assert list(land.cloud.burning()) == []


async def test_a_bill_ten_times_as_high_is_refused_even_to_a_yes_in_advance(land: World) -> None:
    person = Person(agrees=True)
    async with land.application(person) as application:
        await enter(land, application)
        when(person, EventKind.STEP_BEGUN, "leg0.reserve", lambda: price(land, "0.00026"))
        with pytest.raises(MoneyError, match="above the agreed"):
            await application.trips.rent(GPU)
        assert await wealth(application) >= 89999 * ONE


@pytest.mark.parametrize("agrees", [False, True])
async def test_a_dearer_price_asks_again_also_in_a_renewal(land: World, agrees: bool) -> None:
    person = Person(agrees=agrees)
    async with land.application(person) as application:
        await enter(land, application)
        lease = await application.trips.rent(GPU)
        (rent,) = lease.bills
        before = await wealth(application)
        when(person, EventKind.STEP_BEGUN, "leg0.reserve", lambda: price(land, "0.0020"))
        if not agrees:
            with pytest.raises(MoneyError, match="above the agreed"):
                await application.lease_changes.renew(lease.id, HOUR)
            assert await wealth(application) == before
            return
        renewed = await application.lease_changes.renew(lease.id, HOUR)
        paid = before - await wealth(application)
        assert paid == renewed.bills[-1].amount.amount
        assert rent.amount.amount * 125 // 100 < paid < rent.amount.amount * 135 // 100, "0.0026 to 0.0020"
        assert EventKind.WARNING in person.kinds(), "and the move is told"


async def test_a_cheaper_price_is_paid_and_told(land: World) -> None:
    person = Person()
    async with land.application(person) as application:
        await enter(land, application)
        when(person, EventKind.STEP_BEGUN, "leg0.reserve", lambda: price(land, "0.0030"))
        lease = await application.trips.rent(GPU)
        quoted = application.store.recall_step(application.trip_register.trips()[-1].id, "plan", Plan)
        assert quoted is not None
        assert lease.bills[0].amount < quoted.quote.low
        assert any("moved from 0.0026 to 0.0030" in event.text for event in person.events)


async def test_a_deposit_that_was_not_spoken_of_is_asked_about(land: World) -> None:
    """A shop that wants a deposit for what was quoted without one."""
    person = Person()
    async with land.application(person) as application:
        await enter(land, application)
        shop: Any = application.plugins.provider("1024gpu")
        honest = shop._orders.bill

        async def greedy(*given: Any) -> Bill | None:
            bill = await honest(*given)
            return evolve(bill, purpose=Purpose.DEPOSIT) if bill is not None else None

        shop._orders.bill = greedy
        with pytest.raises(MoneyError, match="above the agreed"):
            await application.trips.rent(GPU)
        assert await wealth(application) >= 89999 * ONE


async def test_a_budget_in_another_currency_holds_by_a_dated_rate(land: World) -> None:
    configure(land, rates(land))
    async with land.application() as application:
        await enter(land, application)
        # 0.215 USD x 7.10 = 1.5265 CNY, at most 5 % more.
        with pytest.raises(OverBudget, match=r"budget of 1\.55 CNY") as caught:
            await application.trips.rent(_with(GPU, CNY.money("1.55")))
        assert caught.value.spent is Spent.NO
        assert land.books("1024gpu").orders == {}
        before = await wealth(application)
        lease = await application.trips.rent(_with(GPU, CNY.money("1.65")))
        assert before - await wealth(application) == lease.bills[0].amount.amount
        with pytest.raises(OverBudget, match=r"budget of 1\.65 CNY"):
            await application.lease_changes.renew(lease.id, HOUR)
        assert before - await wealth(application) == lease.bills[0].amount.amount, (
            "the trip's budget holds for more time"
        )


async def test_a_budget_without_a_rate_lets_nothing_pass(land: World) -> None:
    async with land.application() as application:
        await enter(land, application)
        with pytest.raises(MoneyError, match="no rate between") as caught:
            await application.trips.rent(_with(GPU, CNY.money("1000.00")))
        assert caught.value.spent is Spent.NO
        assert await wealth(application) >= 89999 * ONE


def _with(want: TripSpec, money: Money) -> TripSpec:
    return evolve(want, limits=evolve(want.limits, budget=money))


async def test_the_month_counts_deposits_while_they_are_held(land: World) -> None:
    configure(land, '[budget.1024gpu]\nmonth = "60100DBC"\n')
    async with land.application() as application:
        await enter(land, application, "130000")
        staged = await application.trips.rent(CPU)
        with pytest.raises(OverBudget, match="monthly budget for 1024gpu"):
            await application.trips.rent(CPU)
        one_hour = await application.trips.rent(GPU)
        with pytest.raises(OverBudget, match="monthly budget for 1024gpu"):
            await application.lease_changes.renew(one_hour.id, HOUR)
        await application.releases.release(staged.id)
        renewed = await application.lease_changes.renew(one_hour.id, HOUR)
        assert renewed.expires_at is not None
        assert len(renewed.bills) >= 2
        (status,) = await application.budgets.statuses("1024gpu")
        spent = sum(bill.amount.amount for bill in one_hour.bills[:1] + renewed.bills[-1:])
        assert spent <= status.used.amount <= spent + ONE, "the deposit came back; the mail's fee is in it"


async def test_a_bill_that_may_be_paid_counts_before_it_is(land: World) -> None:
    configure(land, '[budget]\nmonth = "150DBC"\n')
    async with land.application() as application:
        await enter(land, application)
        lease = await application.trips.rent(GPU)
        budgets, amount = application.budgets, lease.bills[0].amount
        await budgets.check("1024gpu", amount.currency.money(50))
        other = Bill(key="elsewhere", payee=lease.bills[0].payee, amount=amount.currency.money(40))
        application.leases.save_lease(
            evolve(application.leases.find_lease(lease.id), bills=(*lease.bills, other))
        )
        await budgets.check("1024gpu", amount.currency.money(50))
        budgets.authorize(other)
        with pytest.raises(OverBudget):
            await budgets.check("1024gpu", amount.currency.money(50))
        await budgets.check("1024gpu", amount.currency.money(50), key="elsewhere")


JOB = """
import time
for i in range(900):
    with open("out.txt", "a") as file:
        file.write(".")
    time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("speed", "limit", "month"),
    [(600, "0.85", ""), pytest.param(240, "", "3.61CNY", marks=pytest.mark.nightly)],
)
async def test_a_metered_trip_stops_below_its_budget_with_the_results(
    tmp_path: Path, speed: int, limit: str, month: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "job.py").write_text(JOB)
    async with world(tmp_path, speed=speed) as land:
        configure(land, rates(land) + (f'[budget]\nmonth = "{month}"\n' if month else ""))
        async with land.application() as application:
            await application.account_commands.login(
                "mistgpu", {"username": "student", "password": "student-pass"}
            )
            await land.settle_alipay(application, "50")
            want = TripSpec(
                upload=Upload(folder=str(folder)),
                job=JobSpec(command=("job.py",)),
                results=Results(paths=("out.txt",)),
                limits=TripLimits(budget=USD.money(limit) if limit else None),
                provider="mistgpu",
            )
            with pytest.raises(GpurentError) as caught:
                await application.trips.run(want)
            left = (await application.account_money.balance("mistgpu")).available
        spent = 5000 - left.amount
        assert isinstance(caught.value, OverBudget), caught.value
        assert caught.value.spent is Spent.YES
        # 0.85 USD x 7.10 = 6.03 CNY. A second that this computer stumbles is speed / 3600 x 3 CNY.
        assert 60 < spent <= (603 if limit else 361) + 300 * speed // 3600
        assert "." in (folder / "out.txt").read_text(), "what was there came home"
        assert list(land.cloud.burning()) == []
