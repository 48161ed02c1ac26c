"""The guard beside machines that were taken over by hand, while the provider's own site is of no use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.access import Endpoint
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY
from gpurent.domain.money_text import parse_price
from gpurent.domain.offer import Metered, Terms
from gpurent.domain.secret import Secret
from gpurent.roles.lease import Access
from gpurent.workflow.manual.adopt import Handed
from tests.guard.sandbox import Sandbox, until
from tests.guard.watching import guarding
from tests.workflow.world import Person

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox.make(tmp_path, "mistgpu", api="off") as made:
        yield made


async def adopt(sandbox: Sandbox, application: Application, yuan: str) -> Lease:
    """A machine rented by a person at the provider's page, with so much money left there."""
    site = await sandbox.simulators.manual_rental("mistgpu").rent_by_hand()
    terms = Terms(
        tariff=Metered(price=parse_price("3.5CNY/h")), at=application.clock.now(), balance=CNY.money(yuan)
    )
    access = Access(endpoint=Endpoint.parse(site.line), password=Secret(site.password))
    return await application.manual_commands.adopt(Handed(provider="mistgpu", access=access, terms=terms))


async def test_a_deadline_stops_it_from_within_with_the_results_home(sandbox: Sandbox) -> None:
    sandbox.write_config('[guard]\ndeadline = "90m"\ntop_up = "50CNY"\n')
    person = Person()
    job = sandbox.job(person)
    async with sandbox.application(person) as application:
        lease = await adopt(sandbox, application, "100")
        await application.trips.run(job.spec("mistgpu", lease=lease.id), detach=True)
        async with guarding(application):
            await until(lambda: application.leases.find_lease(lease.id).over)
        kinds = person.kinds()
        assert EventKind.SAVED in kinds
        assert EventKind.TOP_UP not in kinds, "what was only declared says nothing of a top-up"
        assert "line" in job.results.read_text()
    assert list(sandbox.burning()) == []
    used = -sum(line.amount.amount for line in sandbox.ledger("mistgpu") if line.kind == "usage")
    assert 0 < used <= 1.5 * 350 + 6


async def test_a_declared_balance_that_runs_out_brings_the_results_home_first(sandbox: Sandbox) -> None:
    sandbox.write_config('[guard]\ntop_up = "50CNY"\n')
    person = Person()
    job = sandbox.job(person)
    async with sandbox.application(person) as application:
        lease = await adopt(sandbox, application, "3.50")
        await application.trips.run(job.spec("mistgpu", lease=lease.id), detach=True)
        async with guarding(application):
            await until(lambda: EventKind.SAVED in person.kinds())
        assert EventKind.TIME_LOW in person.kinds()
        assert EventKind.TOP_UP not in person.kinds()
        assert "line" in job.results.read_text()
