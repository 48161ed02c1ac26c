"""Several providers: the first that serves is taken, what is passed over is told, a resume stays with the choice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Requirements
from gpurent.domain.trip import TripSpec
from gpurent.errors import SoldOut, UnavailableError
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps.select_offer import fits
from gpurent.workflow.trips.dry_run import preview
from gpurent.workflow.trips.operations import Service
from gpurent.workflow.trips.select_provider import choose, resolved
from tests.workflow.world import DIGITS, Person, World, world

BOTH = TripSpec(
    providers=("mistgpu", "1024gpu"),
    wish=Requirements(gpu="2080Ti"),
    term=timedelta(days=1),
    command=("train.py", "--epochs", "1", "--hidden", "4"),
    folder=str(DIGITS),
)


@pytest.fixture
async def sold_out(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=120, settings={"mistgpu.taken": "3"}) as made:
        yield made


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=120) as made:
        yield made


async def enter(land: World, service: Service) -> None:
    await service.login("mistgpu", {"username": "student", "password": "student-pass"})
    await service.login("1024gpu", {})
    await land.faucet(service, "90000")


def told(person: Person) -> list[str]:
    return [event.text for event in person.events if "passed over" in event.text]


async def test_the_second_is_rented_when_the_first_is_sold_out(sold_out: World) -> None:
    person = Person()
    async with sold_out.desk(person) as service:
        await enter(sold_out, service)
        lease = await service.rent(evolve(BOTH, staged=False))
        assert lease.provider == "1024gpu"
        assert len(told(person)) == 1
        assert "mistgpu is passed over: nothing free at mistgpu fits 2080Ti" in told(person)[0]
        (row,) = service.trips()
        assert (row.want.provider, row.outcome) == ("1024gpu", "done")
        await service.release(lease.id)
    assert sold_out.cloud.burning() == []


async def test_the_order_decides_and_a_resume_stays_with_the_choice(land: World) -> None:
    async with land.desk() as service:
        await enter(land, service)
        trail = service._new("run", BOTH)
        made = await choose(trail, BOTH)
        assert made.provider == "mistgpu"
        assert service.trip(trail.trip).want == made
        # Killed between the two writes: the choice is recalled, whatever is sold out now.
        service.desk.journal.set_trip_want(trail.trip, BOTH)
        land.cloud.portals["mistgpu"].books.machines.clear()  # type: ignore[attr-defined]
        again = await choose(TripContext(service.desk, trail.trip), BOTH)
        assert again == made
        assert service.trip(trail.trip).want == made


async def test_a_shop_that_is_too_dear_for_the_budget_is_passed_over(land: World) -> None:
    person = Person()
    async with land.desk() as service:
        await enter(land, service)
    day = land.cloud.clock.now().date()
    settings = f'[rates]\n"USD/CNY" = 7.10\nat = {day}\nsource = "bank"\n'
    (land.home / "state" / "config.toml").write_text(settings)
    want = evolve(BOTH, budget=CNY.money("71"), staged=False)
    async with land.desk(person) as service:
        trail = service._new("run", want)
        assert (await choose(trail, want)).provider == "1024gpu"
        assert "72.00 CNY more would break the budget of 71.00 CNY" in told(person)[0]
        assert (await resolved(service.desk, want)).provider == "1024gpu"
        assert (await resolved(service.desk, evolve(want, budget=CNY.money("72")))).provider == "mistgpu"


async def test_a_login_that_nobody_gives_is_passed_over(land: World) -> None:
    person = Person()
    async with land.desk(person) as service:
        await service.login("1024gpu", {})
        await land.faucet(service, "90000")
        made = await resolved(service.desk, BOTH)
        assert made.provider == "1024gpu"
        assert "mistgpu is passed over" in told(person)[0]
        found = await preview(service.desk, made)
        assert found.plan.offer.provider == "1024gpu"
        assert service.trips() == [], "a look writes nothing"


async def test_a_shop_that_is_down_is_passed_over_and_all_down_can_be_tried_again(land: World) -> None:
    dead = {"GPURENT_MISTGPU_URL": "http://127.0.0.1:9"}
    person = Person()
    async with land.desk(person) as service:
        await enter(land, service)
    land.extra.update(dead)
    async with land.desk(person) as service:
        assert (await resolved(service.desk, BOTH)).provider == "1024gpu"
        assert len(told(person)) == 1
        with pytest.raises(UnavailableError) as down:
            await service.run(evolve(BOTH, providers=("mistgpu", "mistgpu")))
        assert down.value.retryable
        assert not service.trips()[-1].outcome, "it can be resumed"


async def test_nobody_has_it_and_nothing_is_spent(sold_out: World) -> None:
    async with sold_out.desk() as service:
        await enter(sold_out, service)
        with pytest.raises(SoldOut) as error:
            await service.run(evolve(BOTH, wish=Requirements(gpu="H900")))
        assert "none of mistgpu, 1024gpu" in error.value.message
        assert "mistgpu is passed over" in error.value.hint
        assert "1024gpu is passed over" in error.value.hint
        assert service.trips()[-1].outcome == "failed: sold-out"
        assert service.desk.journal.leases() == []


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
