"""Never more is paid than was confirmed, whatever rates and prices do; and budgets that really stop."""

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
from gpurent.domain.offer import Bill, Payment, PaymentPurpose, Requirements
from gpurent.domain.payments import AuthorizedBill
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripPlan, TripSpec, UploadSpec
from gpurent.errors import BudgetExceeded, GpurentError, InputRequired, MoneyError, Spent
from tests.workflow.test_market import make_rates_section, write_config
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ONE_DBC = 10**8
GPU_SPEC = TripSpec(requirements=Requirements(gpu="2080Ti"), limits=TripLimits(term=HOUR), provider="1024gpu")
CPU_SPEC = TripSpec(
    requirements=Requirements(gpus=0, cpu_only=True), limits=TripLimits(term=DAY), provider="1024gpu"
)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=120, machines=3) as made:
        yield made


async def log_in_with_dbc(sandbox: TripSandbox, application: Application, dbc: str = "90000") -> None:
    await application.account_commands.log_in("1024gpu", {})
    await sandbox.add_dbc(application, dbc)


async def get_balance(application: Application) -> int:
    return (await application.account_money.get_balance("1024gpu")).available.amount


def set_dbc_price(sandbox: TripSandbox, value: str, age: timedelta | None = None) -> None:
    simulator: Any = sandbox.cloud.simulators_by_name["dbc"]
    simulator._current_price = (Decimal(value), sandbox.cloud.clock.now() - age if age else None)


def on_first_event(user: ScriptedUser, kind: EventKind, step: str, action: Callable[[], None]) -> None:
    done: list[Event] = []

    def watch(event: Event) -> None:
        if event.kind is kind and event.step == step and not done:
            done.append(event)
            action()

    user.watchers.append(watch)


BAD_RATES = [
    ("0", None),
    ("-0.0026", None),
    ("0.0026", timedelta(hours=7)),
    ("0.00026", None),
    ("0.026", None),
]


@pytest.mark.parametrize(("value", "age"), BAD_RATES[:3])
async def test_a_bad_rate_gives_no_quote_and_no_order(
    sandbox: TripSandbox, value: str, age: timedelta | None
) -> None:
    async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
        await log_in_with_dbc(sandbox, application)
        set_dbc_price(sandbox, value, age)
        with pytest.raises(MoneyError, match="rate") as caught:
            await application.trips.rent(GPU_SPEC)
        assert caught.value.spent is Spent.NO
        assert await get_balance(application) >= 89999 * ONE_DBC, "the mail was bound, nothing else"
        assert sandbox.get_simulator_state("1024gpu").orders == {}


@pytest.mark.parametrize(
    ("value", "age"),
    [*BAD_RATES[1:3], *(pytest.param(*one, marks=pytest.mark.nightly) for one in BAD_RATES[3:])],
)
async def test_a_rate_gone_bad_after_the_order_is_never_paid(
    sandbox: TripSandbox, value: str, age: timedelta | None
) -> None:
    user = ScriptedUser(confirms=True)
    async with sandbox.open_application(user) as application:
        await log_in_with_dbc(sandbox, application)
        on_first_event(user, EventKind.STEP_DONE, "leg0.reserve", lambda: set_dbc_price(sandbox, value, age))
        with pytest.raises(MoneyError, match="rate") as caught:
            await application.trips.rent(GPU_SPEC)
        assert caught.value.spent is Spent.YES, "the fee for binding the address"
        assert await get_balance(application) >= 89999 * ONE_DBC
    assert list(sandbox.cloud.burning()) == []


async def test_bill_ten_times_as_high_is_refused_even_with_advance_consent(sandbox: TripSandbox) -> None:
    user = ScriptedUser(confirms=True)
    async with sandbox.open_application(user) as application:
        await log_in_with_dbc(sandbox, application)
        on_first_event(
            user, EventKind.STEP_STARTED, "leg0.reserve", lambda: set_dbc_price(sandbox, "0.00026")
        )
        with pytest.raises(MoneyError, match="exceeds the agreed"):
            await application.trips.rent(GPU_SPEC)
        assert await get_balance(application) >= 89999 * ONE_DBC


@pytest.mark.parametrize("agrees", [False, True])
async def test_a_dearer_price_asks_again_also_in_a_renewal(sandbox: TripSandbox, agrees: bool) -> None:
    user = ScriptedUser(confirms=agrees)
    async with sandbox.open_application(user) as application:
        await log_in_with_dbc(sandbox, application)
        lease = await application.trips.rent(GPU_SPEC)
        (rent,) = lease.bills
        before = await get_balance(application)
        on_first_event(user, EventKind.STEP_STARTED, "leg0.reserve", lambda: set_dbc_price(sandbox, "0.0020"))
        if not agrees:
            with pytest.raises(MoneyError, match="exceeds the agreed"):
                await application.lease_changes.renew(lease.id, HOUR)
            assert await get_balance(application) == before
            return
        renewed = await application.lease_changes.renew(lease.id, HOUR)
        paid = before - await get_balance(application)
        assert paid == renewed.bills[-1].amount.amount
        assert rent.amount.amount * 125 // 100 < paid < rent.amount.amount * 135 // 100, "0.0026 to 0.0020"
        assert EventKind.WARNING in user.event_kinds(), "and the move is told"


async def test_a_cheaper_price_is_paid_and_reported(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in_with_dbc(sandbox, application)
        on_first_event(user, EventKind.STEP_STARTED, "leg0.reserve", lambda: set_dbc_price(sandbox, "0.0030"))
        lease = await application.trips.rent(GPU_SPEC)
        quoted = await application.store.find_step_value(
            (await application.trip_tracker.list_trips())[-1].id, "plan", TripPlan
        )
        assert quoted is not None
        assert lease.bills[0].amount < quoted.quote.low
        assert any("has changed from 0.0026 to 0.0030" in event.text for event in user.events)


async def test_unannounced_deposit_needs_confirmation(sandbox: TripSandbox) -> None:
    """The provider wants a deposit for what was quoted without one."""
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in_with_dbc(sandbox, application)
        provider: Any = application.plugins.provider("1024gpu")
        original = provider._orders.find_bill

        async def return_higher_bill(*args: Any, **more: Any) -> Bill | None:
            bill = await original(*args, **more)
            return evolve(bill, purpose=PaymentPurpose.DEPOSIT) if bill is not None else None

        provider._orders.find_bill = return_higher_bill
        with pytest.raises(MoneyError, match="exceeds the agreed"):
            await application.trips.rent(GPU_SPEC)
        assert await get_balance(application) >= 89999 * ONE_DBC


async def test_a_budget_in_another_currency_holds_by_a_dated_rate(sandbox: TripSandbox) -> None:
    write_config(sandbox, make_rates_section(sandbox))
    async with sandbox.open_application() as application:
        await log_in_with_dbc(sandbox, application)
        # 0.215 USD x 7.10 = 1.5265 CNY, at most 5 % more.
        with pytest.raises(BudgetExceeded, match=r"the budget \(1\.55 CNY\) is left") as caught:
            await application.trips.rent(_with_budget(GPU_SPEC, CNY.money("1.55")))
        assert caught.value.spent is Spent.NO
        assert sandbox.get_simulator_state("1024gpu").orders == {}
        before = await get_balance(application)
        lease = await application.trips.rent(_with_budget(GPU_SPEC, CNY.money("1.65")))
        trip = (await application.store.list_trips(lease.id))[0]
        binding = await application.store.find_step_value(trip.id, "bind-mail.pay", Payment)
        assert binding is not None, "the trip over budget did not even bind an address"
        paid = lease.bills[0].amount.amount + binding.amount.amount
        assert before - await get_balance(application) == paid
        with pytest.raises(BudgetExceeded, match=r"the budget \(1\.65 CNY\) is left"):
            await application.lease_changes.renew(lease.id, HOUR)
        assert before - await get_balance(application) == paid, "the trip's budget holds for more time"


async def test_a_budget_without_a_rate_lets_nothing_pass(sandbox: TripSandbox) -> None:
    sandbox.extra_environment["GPURENT_ECB_URL"] = ""
    async with sandbox.open_application() as application:
        await log_in_with_dbc(sandbox, application)
        with pytest.raises(MoneyError, match="no exchange rate between") as caught:
            await application.trips.rent(_with_budget(GPU_SPEC, CNY.money("1000.00")))
        assert caught.value.spent is Spent.NO
        assert await get_balance(application) >= 89999 * ONE_DBC


def _with_budget(spec: TripSpec, money: Money) -> TripSpec:
    return evolve(spec, limits=evolve(spec.limits, budget=money))


@pytest.mark.nightly
async def test_the_month_counts_deposits_while_they_are_held(sandbox: TripSandbox) -> None:
    write_config(sandbox, '[budget.1024gpu]\nmonth = "60100DBC"\n')
    async with sandbox.open_application() as application:
        await log_in_with_dbc(sandbox, application, "130000")
        staged = await application.trips.rent(CPU_SPEC)
        with pytest.raises(BudgetExceeded, match="monthly budget for 1024gpu"):
            await application.trips.rent(CPU_SPEC)
        one_hour = await application.trips.rent(GPU_SPEC)
        with pytest.raises(BudgetExceeded, match="monthly budget for 1024gpu"):
            await application.lease_changes.renew(one_hour.id, HOUR)
        await application.releases.release_lease(staged.id)
        renewed = await application.lease_changes.renew(one_hour.id, HOUR)
        assert renewed.expires_at is not None
        assert len(renewed.bills) >= 2
        (status,) = await application.budgets.list_statuses("1024gpu")
        spent = sum(bill.amount.amount for bill in one_hour.bills[:1] + renewed.bills[-1:])
        assert spent <= status.used.amount <= spent + ONE_DBC, (
            "the deposit came back; the mail's fee is in it"
        )


async def test_a_bill_that_may_be_paid_counts_before_it_is(sandbox: TripSandbox) -> None:
    write_config(sandbox, '[budget]\nmonth = "150DBC"\n')
    async with sandbox.open_application() as application:
        await log_in_with_dbc(sandbox, application)
        lease = await application.trips.rent(GPU_SPEC)
        budgets, amount = application.budgets, lease.bills[0].amount
        await budgets.check_budgets("1024gpu", amount.currency.money(50))
        other = Bill(key="elsewhere", payee=lease.bills[0].payee, amount=amount.currency.money(40))
        await application.leases.save_lease(
            evolve(await application.leases.get_lease(lease.id), bills=(*lease.bills, other))
        )
        await budgets.check_budgets("1024gpu", amount.currency.money(50))
        await budgets.record_authorization(
            AuthorizedBill(
                key=other.key, trip="t1", provider="1024gpu", amount=other.amount, purpose=other.purpose
            )
        )
        with pytest.raises(BudgetExceeded):
            await budgets.check_budgets("1024gpu", amount.currency.money(50))
        await budgets.check_budgets("1024gpu", amount.currency.money(50), key="elsewhere")


def get_kinds(sandbox: TripSandbox) -> list[str]:
    return [line.kind for line in sandbox.cloud.ledgers()["1024gpu"]]


async def test_binding_an_address_is_paid_only_if_somebody_agreed(sandbox: TripSandbox) -> None:
    user = ScriptedUser(pays_binding=False)
    async with sandbox.open_application(user) as application:
        await log_in_with_dbc(sandbox, application)
        with pytest.raises(InputRequired, match=r"0\.\d+ DBC") as caught:
            await application.trips.rent(GPU_SPEC)
        assert caught.value.spent is Spent.NO
        (trip,) = await application.trip_tracker.list_trips()
        assert f"gpurent -y resume {trip.id}" in caught.value.hint
        assert get_kinds(sandbox) == []
        user.pays_binding = True
        await application.trips.resume(trip.id)
        assert get_kinds(sandbox)[0] == "binding"


async def test_a_user_who_refuses_the_price_of_a_binding_pays_nothing(sandbox: TripSandbox) -> None:
    user = ScriptedUser(pays_binding=False, is_interactive=True)
    async with sandbox.open_application(user) as application:
        await log_in_with_dbc(sandbox, application)
        with pytest.raises(MoneyError, match="was not bound"):
            await application.trips.rent(GPU_SPEC)
        assert get_kinds(sandbox) == []
        assert (await application.trip_tracker.list_trips())[0].outcome_text == "failed: money"


@pytest.mark.parametrize("budget", ["0.0001DBC", "80000DBC"])
async def test_a_binding_within_a_budget_needs_no_question(sandbox: TripSandbox, budget: str) -> None:
    write_config(sandbox, f'[budget.1024gpu]\nmonth = "{budget}"\n')
    async with sandbox.open_application(ScriptedUser(pays_binding=False)) as application:
        await log_in_with_dbc(sandbox, application)
        if budget == "0.0001DBC":
            with pytest.raises(BudgetExceeded):
                await application.trips.rent(GPU_SPEC)
            assert get_kinds(sandbox) == []
            return
        lease = await application.trips.rent(GPU_SPEC)
        assert get_kinds(sandbox)[0] == "binding"
        await application.releases.release_lease(lease.id)


JOB = """
import time
for i in range(900):
    with open("out.txt", "a") as file:
        file.write(".")
    time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("speed", "limit", "month"),
    [(600, "0.55", ""), (240, "", "3.61CNY")],
)
@pytest.mark.nightly
async def test_a_metered_trip_stops_below_its_budget_with_the_results(
    tmp_path: Path, speed: int, limit: str, month: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "job.py").write_text(JOB)
    async with trip_sandbox(tmp_path, speed=speed) as sandbox:
        write_config(
            sandbox, make_rates_section(sandbox) + (f'[budget]\nmonth = "{month}"\n' if month else "")
        )
        async with sandbox.open_application() as application:
            await application.account_commands.log_in(
                "mistgpu", {"username": "student", "password": "student-pass"}
            )
            await sandbox.top_up_mistgpu(application, "50")
            spec = TripSpec(
                upload=UploadSpec(folder=str(folder)),
                job=JobSpec(command=("job.py",)),
                results=ResultsSpec(paths=("out.txt",)),
                limits=TripLimits(budget=USD.money(limit) if limit else None),
                provider="mistgpu",
            )
            with pytest.raises(GpurentError) as caught:
                await application.trips.run(spec)
            left = (await application.account_money.get_balance("mistgpu")).available
        spent = 5000 - left.amount
        assert isinstance(caught.value, BudgetExceeded), caught.value
        assert caught.value.spent is Spent.YES
        # 0.55 USD x 7.10 = 3.90 CNY. Each second that this computer stalls costs speed / 3600 x 3 CNY.
        assert 60 < spent <= (390 if limit else 361) + 300 * speed // 3600
        assert "." in (folder / "out.txt").read_text(), "what was there came home"
        assert list(sandbox.cloud.burning()) == []
