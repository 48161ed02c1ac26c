"""Limits of the user's: budget, deadline, idleness. First a warning, then the results, then the machine goes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY
from gpurent.domain.offer import Metered
from gpurent.domain.trip import Rules, TripSpec
from gpurent.workflow.guard.scheduler import Guard
from gpurent.workflow.trips.operations import Service
from tests.guard.watching import guarding, policy, project, until, want
from tests.workflow.world import Person, World, world


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=600) as made:
        yield made


@pytest.fixture
async def unhurried(tmp_path: Path) -> AsyncIterator[World]:
    """Where what the guard leaves for the saving is seconds here, too: a busy computer needs them."""
    async with world(tmp_path, speed=120) as made:
        yield made


async def enter(land: World, service: Service, yuan: str = "300") -> None:
    await service.login("mistgpu", {"username": "student", "password": "student-pass"})
    await land.settle_alipay(service, yuan)


def used(land: World) -> int:
    """Fen that the shop took."""
    return -sum(line.amount.amount for line in land.cloud.ledgers()["mistgpu"] if line.kind == "usage")


def order_of(person: Person, *kinds: EventKind) -> list[EventKind]:
    """The first of each kind in the order of their coming; warnings only with a reason."""
    found: list[EventKind] = []
    for event in person.events:
        plain = event.kind is EventKind.WARNING and "reason" not in event.data
        if event.kind in kinds and event.kind not in found and not plain:
            found.append(event.kind)
    return found


def saved_home(tmp_path: Path) -> bool:
    return "line" in (tmp_path / "home" / "out.txt").read_text()


IN_ORDER = [EventKind.WARNING, EventKind.SAVED, EventKind.RELEASED]


async def test_a_budget_stops_a_trip_with_the_results_saved(unhurried: World, tmp_path: Path) -> None:
    person = Person()
    async with unhurried.desk(person) as service:
        await enter(unhurried, service)
        budget = CNY.money("3.20")
        await service.run(
            want("mistgpu", project(tmp_path, 300), tmp_path / "home", budget=budget), detach=True
        )
        async with guarding(service):
            await until(lambda: service.trips()[0].outcome)
        (lease,) = service.desk.journal.leases()
        assert service.trips()[0].outcome == "stopped: budget"
        assert order_of(person, *IN_ORDER) == IN_ORDER
        assert saved_home(tmp_path)
        assert lease.over
        assert 0 < used(unhurried) <= budget.amount, "not a fen above"
        balance = (await service.balance("mistgpu")).available
        assert balance.amount == 30000 - used(unhurried)
    assert list(unhurried.cloud.burning()) == []


async def test_a_month_s_budget_ends_a_machine_that_has_no_budget_of_its_own(
    unhurried: World, tmp_path: Path
) -> None:
    policy(unhurried, '[budget.mistgpu]\nmonth = "3.20CNY"\n')
    person = Person()
    async with unhurried.desk(person) as service:
        await enter(unhurried, service)
        await service.run(want("mistgpu", project(tmp_path, 300), tmp_path / "home"), detach=True)
        async with guarding(service):
            await until(lambda: service.trips()[0].outcome)
        assert service.trips()[0].outcome == "stopped: budget"
        assert order_of(person, *IN_ORDER) == IN_ORDER
        assert saved_home(tmp_path)
        assert 0 < used(unhurried) <= 320
    assert list(unhurried.cloud.burning()) == []


@pytest.mark.parametrize("own", [False, True], ids=["of everything", "of the trip"])
async def test_a_deadline_ends_the_lease_before_it_passes(
    unhurried: World, tmp_path: Path, own: bool
) -> None:
    span = timedelta(minutes=45)
    policy(unhurried, "" if own else '[guard]\ndeadline = "45m"\n')
    rules = Rules(deadline_in=span) if own else Rules()
    person = Person()
    async with unhurried.desk(person) as service:
        await enter(unhurried, service)
        await service.run(
            want("mistgpu", project(tmp_path, 300), tmp_path / "home", rules=rules), detach=True
        )
        async with guarding(service):
            await until(lambda: service.trips()[0].outcome)
        (lease,) = service.desk.journal.leases()
        assert order_of(person, *IN_ORDER) == IN_ORDER
        assert saved_home(tmp_path)
        assert lease.started_at is not None
        assert lease.ended_at is not None
        assert lease.ended_at <= lease.started_at + span
        tariff = lease.offer.tariff
        assert isinstance(tariff, Metered)
        assert used(unhurried) <= tariff.price.cost(span).amount
    assert list(unhurried.cloud.burning()) == []


async def silent(land: World, service: Service, tmp_path: Path) -> None:
    """A trip whose job has said its last word and only sleeps."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(
        "import time\nprint('begun', flush=True)\nopen('out.txt', 'w').write('line')\ntime.sleep(600)\n"
    )
    await service.run(want("mistgpu", folder, tmp_path / "home"), detach=True)


async def test_an_idle_machine_is_given_back_with_its_results(land: World, tmp_path: Path) -> None:
    # Every machine of this driver shows its host's load, which is not the test's to say: only output counts here.
    policy(land, '[guard.mistgpu]\nidle = "1h"\nidle_load = "100%"\nwarn_before = "20m"\n')
    person = Person()
    async with land.desk(person) as service:
        await enter(land, service)
        await silent(land, service, tmp_path)
        async with guarding(service):
            await until(lambda: service.trips()[0].outcome)
        assert service.trips()[0].outcome == "stopped: idle"
        assert order_of(person, *IN_ORDER) == IN_ORDER
        warned = next(event for event in person.events if event.data.get("reason") == "idle")
        released = next(event for event in person.events if event.kind is EventKind.RELEASED)
        assert released.at - warned.at >= timedelta(minutes=20)
        assert saved_home(tmp_path)
    assert list(land.cloud.burning()) == []


async def test_idleness_is_noticed_by_guards_that_are_started_now_and_then(
    land: World, tmp_path: Path
) -> None:
    """As cron does it: each remembers what the one before it saw."""
    policy(land, '[guard.mistgpu]\nidle = "1h"\nidle_load = "100%"\nwarn_before = "20m"\n')
    person = Person()
    async with land.desk(person) as service:
        await enter(land, service)
        await silent(land, service, tmp_path)
    for _run in range(12):
        async with land.desk(person) as service:
            await Guard.of(service).once()
            if service.trips()[0].outcome:
                break
        await land.cloud.advance(timedelta(minutes=15))
    assert order_of(person, *IN_ORDER) == IN_ORDER
    assert len([event for event in person.events if event.data.get("reason") == "idle"]) == 1
    assert list(land.cloud.burning()) == []


async def test_a_job_that_writes_is_not_idle(land: World, tmp_path: Path) -> None:
    policy(land, '[guard.mistgpu]\nidle = "1h"\nidle_load = "100%"\nwarn_before = "10m"\n')
    person = Person()
    async with land.desk(person) as service:
        await enter(land, service)
        await service.run(want("mistgpu", project(tmp_path, 14), tmp_path / "home"), detach=True)
        async with guarding(service):
            await until(lambda: service.trips()[0].outcome)
        assert service.trips()[0].outcome == "done"
        assert [event for event in person.events if event.data.get("reason") == "idle"] == []
        assert (tmp_path / "home" / "out.txt").read_text().endswith("done\n")
    assert list(land.cloud.burning()) == []


async def test_after_a_jump_of_days_everything_is_looked_at_at_once(land: World, tmp_path: Path) -> None:
    """The deadline passed while the computer slept: warned, saved and given back, whatever the hour."""
    policy(land, '[guard]\ndeadline = "2d"\n')
    person = Person()
    async with land.desk(person) as service:
        await enter(land, service)
        await service.run(want("mistgpu", project(tmp_path, 300), tmp_path / "home"), detach=True)
        async with guarding(service) as guard:
            await until(lambda: guard.looked)
            await land.cloud.advance(timedelta(days=2, hours=1))
            jumped = land.cloud.clock.now()
            await until(lambda: service.trips()[0].outcome)
        assert service.trips()[0].outcome == "stopped: deadline"
        assert order_of(person, *IN_ORDER) == IN_ORDER
        assert saved_home(tmp_path)
        warned = next(event for event in person.events if event.data.get("reason") == "deadline")
        assert warned.at - jumped < timedelta(hours=2), "within seconds of this computer's time"
    assert list(land.cloud.burning()) == []


async def test_beside_a_living_run_the_guard_keeps_its_hands_off(land: World, tmp_path: Path) -> None:
    policy(land, '[guard.mistgpu]\nidle = "20m"\nidle_load = "100%"\nwarn_before = "5m"\nlook = "5m"\n')
    runner, watcher = Person(), Person()
    async with land.desk(runner) as service, land.desk(watcher) as other:
        await enter(land, service)
        started = asyncio.Event()

        def hear(event: Event) -> None:
            if event.kind is EventKind.JOB_STARTED:
                started.set()

        runner.watchers.append(hear)
        walking = asyncio.create_task(service.run(want("mistgpu", project(tmp_path, 8), tmp_path / "home")))
        async with guarding(other):
            await started.wait()
            end = await walking
        assert end.exit_code == 0
        assert end.receipt is not None
        assert [row.kind for row in service.trips()] == ["run"], "the guard did nothing of its own"
        assert [event for event in watcher.events if event.kind in IN_ORDER[1:]] == []
        (total,) = end.receipt.totals()
        assert total.spent.amount == used(land)
    assert list(land.cloud.burning()) == []


async def test_a_run_whose_process_died_is_brought_to_its_end(land: World, tmp_path: Path) -> None:
    person = Person()
    async with land.desk(person) as service:
        await enter(land, service)
        walking = asyncio.create_task(service.run(want("mistgpu", project(tmp_path, 8), tmp_path / "home")))
        await until(lambda: EventKind.JOB_STARTED in person.kinds())
        walking.cancel()
        await asyncio.gather(walking, return_exceptions=True)
    async with land.desk() as service:
        assert service.trips()[0].outcome == ""
        async with guarding(service):
            await until(lambda: service.trips()[0].outcome)
        assert service.trips()[0].outcome == "done"
        assert (tmp_path / "home" / "out.txt").read_text().endswith("done\n")
    assert list(land.cloud.burning()) == []


async def test_a_rented_machine_is_left_alone_without_a_policy(land: World) -> None:
    async with land.desk() as service:
        await enter(land, service)
        lease: Lease = await service.rent(TripSpec(provider="mistgpu", only_rent=True))
        (looked,) = await Guard.of(service).once()
        assert looked.actions == ()
        assert looked.trouble == ""
        assert not service.desk.lease(lease.id).over
        await service.release(lease.id)
