"""Several providers: the first that serves is taken, what is passed over is told, a resume stays with the choice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Requirements
from gpurent.domain.trip import JobSpec, TripLimits, TripSpec, Upload
from gpurent.errors import SoldOut, UnavailableError
from gpurent.workflow.reports.offers import fits
from tests.workflow.world import DIGITS, Person, World, world

BOTH = TripSpec(
    requirements=Requirements(gpu="2080Ti"),
    upload=Upload(folder=str(DIGITS)),
    job=JobSpec(command=("train.py", "--epochs", "1", "--hidden", "4")),
    limits=TripLimits(term=timedelta(days=1)),
    providers=("mistgpu", "1024gpu"),
)
MACHINE_ONLY = evolve(BOTH, upload=evolve(BOTH.upload, staged=False))


def within(want: TripSpec, yuan: str) -> TripSpec:
    return evolve(want, limits=evolve(want.limits, budget=CNY.money(yuan)))


@pytest.fixture
async def sold_out(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=120, settings={"mistgpu.taken": "3"}) as made:
        yield made


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=120) as made:
        yield made


async def enter(land: World, application: Application) -> None:
    await application.account_commands.login("mistgpu", {"username": "student", "password": "student-pass"})
    await application.account_commands.login("1024gpu", {})
    await land.faucet(application, "90000")


def told(person: Person) -> list[str]:
    return [event.text for event in person.events if "passed over" in event.text]


async def test_the_second_is_rented_when_the_first_is_sold_out(sold_out: World) -> None:
    person = Person()
    async with sold_out.application(person) as application:
        await enter(sold_out, application)
        lease = await application.trips.rent(MACHINE_ONLY)
        assert lease.provider == "1024gpu"
        assert len(told(person)) == 1
        assert "mistgpu is passed over: nothing free at mistgpu fits 2080Ti" in told(person)[0]
        (row,) = application.trip_register.trips()
        assert (row.spec.provider, row.outcome) == ("1024gpu", "done")
        await application.releases.release(lease.id)
    assert sold_out.cloud.burning() == []


async def test_the_order_decides_and_a_resume_stays_with_the_choice(land: World) -> None:
    async with land.application() as application:
        await enter(land, application)
        trip = application.trip_register.begin_trip("run", BOTH)
        made = await application.provider_selector.select_provider(trip, BOTH)
        assert made.provider == "mistgpu"
        assert application.trip_register.find_trip(trip.trip).spec == made
        # Killed between the two writes: the choice is recalled, whatever is sold out now.
        application.store.set_trip_spec(trip.trip, BOTH)
        land.books("mistgpu").machines.clear()
        again = await application.provider_selector.select_provider(
            application.trip_register.context_of(trip.trip), BOTH
        )
        assert again == made
        assert application.trip_register.find_trip(trip.trip).spec == made


async def test_a_shop_that_is_too_dear_for_the_budget_is_passed_over(land: World) -> None:
    person = Person()
    async with land.application() as application:
        await enter(land, application)
    day = land.cloud.clock.now().date()
    settings = f'[rates]\n"USD/CNY" = 7.10\nat = {day}\nsource = "bank"\n'
    (land.home / "state" / "config.toml").write_text(settings)
    want = within(MACHINE_ONLY, "71")
    async with land.application(person) as application:
        trip = application.trip_register.begin_trip("run", want)
        assert (await application.provider_selector.select_provider(trip, want)).provider == "1024gpu"
        assert "72.00 CNY more would break the budget of 71.00 CNY" in told(person)[0]
        assert (await application.provider_selector.resolve(want)).provider == "1024gpu"
        assert (await application.provider_selector.resolve(within(want, "72"))).provider == "mistgpu"


async def test_a_login_that_nobody_gives_is_passed_over(land: World) -> None:
    person = Person()
    async with land.application(person) as application:
        await application.account_commands.login("1024gpu", {})
        await land.faucet(application, "90000")
        made = await application.provider_selector.resolve(BOTH)
        assert made.provider == "1024gpu"
        assert "mistgpu is passed over" in told(person)[0]
        found = await application.dry_run.preview(made)
        assert found.plan.offer.provider == "1024gpu"
        assert application.trip_register.trips() == [], "a look writes nothing"


async def test_a_shop_that_is_down_is_passed_over_and_all_down_can_be_tried_again(land: World) -> None:
    dead = {"GPURENT_MISTGPU_URL": "http://127.0.0.1:9"}
    person = Person()
    async with land.application(person) as application:
        await enter(land, application)
    land.extra.update(dead)
    async with land.application(person) as application:
        assert (await application.provider_selector.resolve(BOTH)).provider == "1024gpu"
        assert len(told(person)) == 1
        with pytest.raises(UnavailableError) as down:
            await application.trips.run(evolve(BOTH, providers=("mistgpu", "mistgpu")))
        assert down.value.retryable
        assert not application.trip_register.trips()[-1].outcome, "it can be resumed"


async def test_nobody_has_it_and_nothing_is_spent(sold_out: World) -> None:
    async with sold_out.application() as application:
        await enter(sold_out, application)
        with pytest.raises(SoldOut) as error:
            await application.trips.run(evolve(BOTH, requirements=Requirements(gpu="H900")))
        assert "none of mistgpu, 1024gpu" in error.value.message
        assert "mistgpu is passed over" in error.value.hint
        assert "1024gpu is passed over" in error.value.hint
        assert application.trip_register.trips()[-1].outcome == "failed: sold-out"
        assert application.store.leases() == []


@pytest.mark.parametrize(
    ("wish", "fitting"),
    [
        (Requirements(gpu_memory=11, cpus=8, memory=32), True),
        (Requirements(gpu_memory=12), False),
        (Requirements(cpus=9), False),
        (Requirements(memory=33), False),
    ],
)
def test_what_a_machine_must_have_at_least(wish: Requirements, fitting: bool) -> None:
    hardware = Hardware(gpu="2080Ti", gpus=1, gpu_memory=11, cpus=8, memory=32)
    offer = Offer(key="1", provider="x", hardware=hardware, tariff=Metered(price=UnitPrice(Decimal(1), CNY)))
    assert fits(offer, wish) is fitting
    unsaid = evolve(offer, hardware=Hardware(gpu="2080Ti", gpus=1))
    assert not fits(unsaid, wish), "what a shop does not say is not promised"
