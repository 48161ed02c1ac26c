"""The guard beside machines that were taken over by hand, while the shop's own site is of no use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.domain.access import Endpoint
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY
from gpurent.domain.offer import Metered
from gpurent.domain.secret import Secret
from gpurent.domain.terms import Terms
from gpurent.locale.prices import parse_price
from gpurent.roles.assisted import Access
from gpurent.workflow.manual.adopt import Handed
from gpurent.workflow.manual.commands import ByHand
from gpurent.workflow.trips.operations import Service
from tests.guard.watching import guarding, policy, project, until, want
from tests.workflow.world import Person, World, world


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=600, settings={"mistgpu.api": "off"}) as made:
        yield made


async def adopted(land: World, service: Service, yuan: str) -> Lease:
    site = await land.cloud.hand("mistgpu").rent_by_hand()
    terms = Terms(
        tariff=Metered(price=parse_price("3.5CNY/h")), at=service.desk.clock.now(), balance=CNY.money(yuan)
    )
    access = Access(endpoint=Endpoint.parse(site.line), password=Secret(site.password))
    return await ByHand(service.desk).adopt(Handed(provider="mistgpu", access=access, terms=terms))


async def test_a_deadline_stops_it_from_within_with_the_results_home(land: World, tmp_path: Path) -> None:
    policy(land, '[guard]\ndeadline = "3h"\ntop_up = "50CNY"\n')
    person = Person()
    async with land.desk(person) as service:
        lease = await adopted(land, service, "100")
        await service.run(
            want("mistgpu", project(tmp_path, 300), tmp_path / "home", lease=lease.id), detach=True
        )
        async with guarding(service):
            await until(lambda: service.desk.lease(lease.id).over)
        kinds = person.kinds()
        assert EventKind.SAVED in kinds
        assert EventKind.TOP_UP not in kinds, "what was only declared says nothing of a top-up"
        assert "line" in (tmp_path / "home" / "out.txt").read_text()
    assert list(land.cloud.burning()) == []
    used = -sum(line.amount.amount for line in land.cloud.ledgers()["mistgpu"] if line.kind == "usage")
    assert 0 < used <= 3 * 350 + 6


async def test_a_declared_balance_that_runs_out_brings_the_results_home_first(
    land: World, tmp_path: Path
) -> None:
    policy(land, '[guard]\ntop_up = "50CNY"\n')
    person = Person()
    async with land.desk(person) as service:
        lease = await adopted(land, service, "7")
        await service.run(
            want("mistgpu", project(tmp_path, 300), tmp_path / "home", lease=lease.id), detach=True
        )
        async with guarding(service):
            await until(lambda: EventKind.SAVED in person.kinds())
        assert EventKind.TIME_LOW in person.kinds()
        assert EventKind.TOP_UP not in person.kinds()
        assert "line" in (tmp_path / "home" / "out.txt").read_text()
