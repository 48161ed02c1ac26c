"""The guard over a shop with a balance: topped up in time, or the results are home before the shut-down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.domain.events import EventKind
from gpurent.workflow.timing import machine_timer as timer
from gpurent.workflow.trips.operations import Service
from tests.guard.watching import Payer, guarding, policy, project, until, want
from tests.workflow.world import Person, World, world


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=600) as made:
        yield made


async def enter(land: World, service: Service, yuan: str) -> None:
    await service.login("mistgpu", {"username": "student", "password": "student-pass"})
    await land.settle_alipay(service, yuan)


def ledger(land: World, kind: str) -> list[int]:
    return [line.amount.amount for line in land.cloud.ledgers()["mistgpu"] if line.kind == kind]


async def balanced(land: World, service: Service) -> None:
    """What the account says is what its ledger sums to."""
    balance = (await service.balance("mistgpu")).available
    assert sum(line.amount.amount for line in land.cloud.ledgers()["mistgpu"]) == balance.amount


async def test_a_balance_that_would_run_dry_is_topped_up(land: World, tmp_path: Path) -> None:
    policy(land, '[guard.mistgpu]\ntop_up = "40CNY"\ntop_up_before = "2h"\nsave_before = "20m"\n')
    person, payer = Person(), Payer()
    person.watchers.append(payer)
    async with land.desk(person) as service:
        await enter(land, service, "9")
        folder = project(tmp_path, 20)
        await service.run(want("mistgpu", folder, tmp_path / "home"), detach=True)
        async with guarding(service):
            await until(lambda: service.trips()[0].outcome)
        assert service.trips()[0].outcome == "done"
        assert (tmp_path / "home" / "out.txt").read_text().endswith("done\n")
        assert payer.paid == ["40.00"], "told once"
        assert ledger(land, "recharge") == [900, 4000]
        assert sum(ledger(land, "usage")) < -900, "more was used than was there at first"
        assert [row.outcome for row in service.trips() if "topup" in row.id] == ["arrived"]
        await balanced(land, service)
    assert list(land.cloud.burning()) == []


async def test_nobody_pays_and_the_results_are_home_before_the_shut_down(land: World, tmp_path: Path) -> None:
    policy(land, '[guard.mistgpu]\ntop_up = "40CNY"\ntop_up_before = "2h"\nsave_before = "1h"\n')
    person = Person()
    async with land.desk(person) as service:
        await enter(land, service, "12")
        folder = project(tmp_path, 300)
        end = await service.run(want("mistgpu", folder, tmp_path / "home"), detach=True)
        async with guarding(service):
            await until(lambda: service.desk.lease(end.lease).over)
        (kept,) = service.desk.journal.leases()
        saved = [event.at for event in person.events if event.kind is EventKind.SAVED]
        assert saved, person.events
        assert kept.ended_at is not None
        assert all(at < kept.ended_at for at in saved)
        assert "line" in (tmp_path / "home" / "out.txt").read_text()
        assert person.kinds().count(EventKind.TOP_UP) == 1
        assert ledger(land, "recharge") == [1200]
        assert sum(ledger(land, "usage")) == -1200
    assert list(land.cloud.burning()) == []


async def test_the_timer_in_the_machine_is_moved_on_while_the_guard_watches(
    land: World, tmp_path: Path
) -> None:
    """A dead man's switch of two hours, and a job that takes longer: only the guard keeps the machine awake."""
    policy(land, '[guard.mistgpu]\ntimer = "2h"\n')
    person = Person()
    async with land.desk(person) as service:
        await enter(land, service, "100")
        folder = project(tmp_path, 18)
        end = await service.run(want("mistgpu", folder, tmp_path / "home"), detach=True)
        armed = timer.remembered(service.desk, service.desk.lease(end.lease))
        assert armed is not None
        async with guarding(service):
            await until(lambda: service.trips()[0].outcome)
        assert service.trips()[0].outcome == "done"
        (lease,) = service.desk.journal.leases()
        assert lease.ended_at is not None
        assert lease.ended_at > armed, "it outlived the first deadline"
        assert (tmp_path / "home" / "out.txt").read_text().endswith("done\n")
        await balanced(land, service)
    assert list(land.cloud.burning()) == []
