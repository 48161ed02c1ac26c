"""Several providers: the first that can serve is used, skipped ones are reported, a resume keeps the choice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Requirements
from gpurent.domain.trip import JobSpec, TripLimits, TripSpec, UploadSpec
from gpurent.domain.wishes import fits
from gpurent.errors import MoneyError, SoldOut, Spent, UnavailableError, UsageError
from tests.workflow.trip_sandbox import DIGITS_EXAMPLE, ScriptedUser, TripSandbox, trip_sandbox

BOTH_PROVIDERS = TripSpec(
    requirements=Requirements(gpu="2080Ti"),
    upload=UploadSpec(folder=str(DIGITS_EXAMPLE)),
    job=JobSpec(command=("train.py", "--epochs", "1", "--hidden", "4")),
    limits=TripLimits(term=timedelta(days=1)),
    providers=("mistgpu", "1024gpu"),
)
MACHINE_ONLY = evolve(BOTH_PROVIDERS, upload=evolve(BOTH_PROVIDERS.upload, staged=False))


def with_budget(spec: TripSpec, yuan: str) -> TripSpec:
    return evolve(spec, limits=evolve(spec.limits, budget=CNY.money(yuan)))


@pytest.fixture
async def sold_out(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=120, settings={"mistgpu.free": "0"}) as made:
        yield made


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=120) as made:
        yield made


async def log_in_everywhere(sandbox: TripSandbox, application: Application) -> None:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await application.account_commands.log_in("1024gpu", {})
    await sandbox.add_dbc(application, "90000")


def passed_over_messages(user: ScriptedUser) -> list[str]:
    return [event.text for event in user.events if "skipping" in event.text]


async def test_the_second_is_rented_when_the_first_is_sold_out(sold_out: TripSandbox) -> None:
    user = ScriptedUser()
    async with sold_out.open_application(user) as application:
        await log_in_everywhere(sold_out, application)
        lease = await application.trips.rent(MACHINE_ONLY)
        assert lease.provider == "1024gpu"
        assert len(passed_over_messages(user)) == 1
        assert "skipping mistgpu: no free machine at mistgpu matches: 2080Ti" in passed_over_messages(user)[0]
        (row,) = await application.trip_tracker.list_trips()
        assert (row.spec.provider, row.outcome_text) == ("1024gpu", "done")
        await application.releases.release_lease(lease.id)
    assert sold_out.cloud.burning() == []


async def test_the_order_decides_and_a_resume_stays_with_the_choice(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in_everywhere(sandbox, application)
        trip = await application.trip_tracker.begin_trip("run", BOTH_PROVIDERS)
        made = await application.provider_selector.select_provider(trip, BOTH_PROVIDERS)
        assert made.provider == "mistgpu"
        assert (await application.trip_tracker.get_trip(trip.id)).spec == made
        # Killed between the two writes: the choice is read back, although it is sold out now.
        await application.store.set_trip_spec(trip.id, BOTH_PROVIDERS)
        sandbox.get_simulator_state("mistgpu").machines.clear()
        again = await application.provider_selector.select_provider(
            application.trip_tracker.context_of(trip.id), BOTH_PROVIDERS
        )
        assert again == made
        assert (await application.trip_tracker.get_trip(trip.id)).spec == made


async def test_provider_over_the_budget_is_skipped(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application() as application:
        await log_in_everywhere(sandbox, application)
    day = sandbox.cloud.clock.now().date()
    settings = f'[rates]\n"USD/CNY" = 7.10\ndate = {day}\nsource = "bank"\n'
    (sandbox.home / "state" / "config.toml").write_text(settings)
    spec = with_budget(MACHINE_ONLY, "71")
    async with sandbox.open_application(user) as application:
        trip = await application.trip_tracker.begin_trip("run", spec)
        assert (await application.provider_selector.select_provider(trip, spec)).provider == "1024gpu"
        assert (
            "this needs 72.00 CNY, but only 71.00 CNY of the budget (71.00 CNY) is left"
            in passed_over_messages(user)[0]
        )
        assert (await application.provider_selector.resolve_provider(spec)).provider == "1024gpu"
        assert (
            await application.provider_selector.resolve_provider(with_budget(spec, "72"))
        ).provider == "mistgpu"


async def test_provider_without_a_login_is_skipped(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await application.account_commands.log_in("1024gpu", {})
        await sandbox.add_dbc(application, "90000")
        made = await application.provider_selector.resolve_provider(BOTH_PROVIDERS)
        assert made.provider == "1024gpu"
        assert "skipping mistgpu" in passed_over_messages(user)[0]
        found = await application.dry_run.preview_trip(made)
        assert found.plan.offer.provider == "1024gpu"
        assert await application.trip_tracker.list_trips() == [], "a look writes nothing"


async def test_unavailable_provider_is_skipped_and_all_unavailable_is_retryable(sandbox: TripSandbox) -> None:
    settings = {"GPURENT_MISTGPU_URL": "http://127.0.0.1:9"}
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in_everywhere(sandbox, application)
    sandbox.extra_environment.update(settings)
    async with sandbox.open_application(user) as application:
        assert (await application.provider_selector.resolve_provider(BOTH_PROVIDERS)).provider == "1024gpu"
        assert len(passed_over_messages(user)) == 1
        with pytest.raises(UnavailableError) as down:
            await application.trips.run(evolve(BOTH_PROVIDERS, providers=("mistgpu", "mistgpu")))
        assert down.value.retryable
        assert not (await application.trip_tracker.list_trips())[-1].outcome, "it can be resumed"


async def test_no_provider_has_it_and_nothing_is_spent(sold_out: TripSandbox) -> None:
    async with sold_out.open_application() as application:
        await log_in_everywhere(sold_out, application)
        with pytest.raises(SoldOut) as error:
            await application.trips.run(evolve(BOTH_PROVIDERS, requirements=Requirements(gpu="H900")))
        assert "none of mistgpu, 1024gpu" in error.value.message
        assert "skipping mistgpu" in error.value.hint
        assert "skipping 1024gpu" in error.value.hint
        assert (await application.trip_tracker.list_trips())[-1].outcome_text == "failed: sold-out"
        assert await application.store.list_leases() == []


@pytest.mark.parametrize(
    ("requirements", "fitting"),
    [
        (Requirements(gpu_memory=11, cpus=8, memory=32), True),
        (Requirements(gpu_memory=12), False),
        (Requirements(cpus=9), False),
        (Requirements(memory=33), False),
    ],
)
def test_what_a_machine_must_have_at_least(requirements: Requirements, fitting: bool) -> None:
    hardware = Hardware(gpu="2080Ti", gpus=1, gpu_memory=11, cpus=8, memory=32)
    offer = Offer(key="1", provider="x", hardware=hardware, tariff=Metered(price=UnitPrice(Decimal(1), CNY)))
    assert fits(offer, requirements) is fitting
    incomplete = evolve(offer, hardware=Hardware(gpu="2080Ti", gpus=1))
    assert not fits(incomplete, requirements), "what a provider does not report is not promised"


def set_rate(sandbox: TripSandbox, rate: str) -> None:
    day = sandbox.cloud.clock.now().date()
    (sandbox.home / "state" / "config.toml").write_text(
        f'[rates]\n"USD/CNY" = {rate}\ndate = {day}\nsource = "bank"\n'
    )


@pytest.mark.parametrize(("rate", "cheapest"), [("7.10", "1024gpu"), ("71", "mistgpu")])
async def test_without_a_provider_the_cheapest_of_all_is_taken(
    sandbox: TripSandbox, rate: str, cheapest: str
) -> None:
    anywhere = evolve(MACHINE_ONLY, providers=())
    async with sandbox.open_application() as application:
        with pytest.raises(UsageError, match="not logged in anywhere"):
            application.provider_selector.name_candidates(anywhere)
        await log_in_everywhere(sandbox, application)
    set_rate(sandbox, rate)
    async with sandbox.open_application() as application:
        spec = application.provider_selector.name_candidates(anywhere)
        assert set(spec.providers) == {"mistgpu", "1024gpu"}
        # Without money it is none of them.
        assert (await application.provider_selector.resolve_provider(anywhere)).provider == "1024gpu"
        await sandbox.top_up_mistgpu(application, "100")
        assert (await application.provider_selector.resolve_provider(anywhere)).provider == cheapest
        ordered = evolve(spec, any_provider=False, providers=("1024gpu", "mistgpu"))
        assert (await application.provider_selector.resolve_provider(ordered)).provider == "1024gpu"


async def test_a_machine_that_others_take_is_rented_at_the_next_provider(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in_everywhere(sandbox, application)
        await sandbox.top_up_mistgpu(application, "100")
        before = (await application.account_money.get_balance("mistgpu")).available

        def take_all(event: Event) -> None:
            if event.kind is EventKind.STEP_STARTED and event.step == "leg0.reserve":
                for machine in sandbox.get_simulator_state("mistgpu").machines.values():
                    machine.user = "somebody"

        user.watchers.append(take_all)
        lease = await application.trips.rent(MACHINE_ONLY)
        assert lease.provider == "1024gpu"
        texts = [event.text for event in user.events]
        assert any("trying the next provider" in text for text in texts), texts
        assert (await application.account_money.get_balance("mistgpu")).available == before
        (trip,) = await application.trip_tracker.list_trips()
        assert (trip.spec.provider, trip.lease, trip.outcome_text) == ("1024gpu", lease.id, "done")
        await application.releases.release_lease(lease.id)
    assert sandbox.cloud.burning() == []


async def test_a_rent_at_one_provider_is_not_continued_by_a_rent_at_another(sandbox: TripSandbox) -> None:
    wanted = TripSpec(provider="mistgpu", requirements=Requirements(gpu="2080Ti"), rent_only=True)
    async with sandbox.open_application() as application:
        trip = await application.trip_tracker.begin_trip("rent", wanted)
        find = application.repeated_runs.find_trip_to_resume
        assert await find("rent", wanted) == trip.id
        assert await find("rent", evolve(wanted, provider="1024gpu")) == ""
        assert await find("rent", evolve(wanted, provider="", providers=("1024gpu", "mistgpu"))) == trip.id


async def test_accounts_without_money_are_no_lack_of_machines(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await application.account_commands.log_in("1024gpu", {})
        spec = application.provider_selector.name_candidates(evolve(MACHINE_ONLY, providers=()))
        with pytest.raises(MoneyError, match="no account can pay") as error:
            await application.trips.run(spec)
        assert "Top up first: gpurent topup" in error.value.hint
        assert "skipping mistgpu" in error.value.hint
        assert error.value.spent is Spent.NO
