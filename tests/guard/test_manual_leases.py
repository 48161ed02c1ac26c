"""The guard with adopted manual rentals, whose provider's own pages are of no use to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.access import USER_SOURCE, Endpoint
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY
from gpurent.domain.money_text import parse_price
from gpurent.domain.offer import DeclaredTerms, Metered
from gpurent.domain.secret import Secret
from gpurent.roles.lease import MachineAccess
from gpurent.workflow.manual.adopt import AdoptionRequest
from tests.guard.running_guard import running_guard
from tests.guard.virtual_sandbox import VirtualSandbox, is_lease_over, wait_until_true
from tests.workflow.trip_sandbox import ScriptedUser

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[VirtualSandbox]:
    async with VirtualSandbox.open_sandbox(tmp_path, "mistgpu", api="off") as made:
        yield made


async def adopt_machine(sandbox: VirtualSandbox, application: Application, yuan: str) -> Lease:
    """Adopt a machine that the user rented on the provider's page, with that much money left there."""
    manual_access = await sandbox.simulators.get_manual_rental("mistgpu").rent_manually()
    terms = DeclaredTerms(
        tariff=Metered(price=parse_price("3.5CNY/h")), at=application.clock.now(), balance=CNY.money(yuan)
    )
    access = MachineAccess(
        endpoint=Endpoint.parse(manual_access.ssh_command),
        password=Secret(manual_access.password),
        source=USER_SOURCE,
    )
    return await application.manual_commands.adopt_machine(
        AdoptionRequest(provider="mistgpu", access=access, terms=terms)
    )


async def test_a_deadline_stops_it_from_within_after_the_download(sandbox: VirtualSandbox) -> None:
    sandbox.write_config('[guard]\ndeadline = "90m"\ntop_up = "50CNY"\n')
    user = ScriptedUser()
    job = sandbox.make_job(user)
    async with sandbox.open_application(user) as application:
        lease = await adopt_machine(sandbox, application, "100")
        await application.trips.run(job.make_spec("mistgpu", lease=lease.id), detach=True)
        async with running_guard(application):
            await wait_until_true(lambda: is_lease_over(application, lease.id))
        kinds = user.event_kinds()
        assert EventKind.RESULTS_SAVED in kinds
        assert EventKind.TOP_UP not in kinds, "what was only declared says nothing of a top-up"
        assert "line" in job.results.read_text()
    assert list(sandbox.list_burning()) == []
    used = -sum(line.amount.amount for line in sandbox.get_ledger("mistgpu") if line.kind == "usage")
    assert 0 < used <= 1.5 * 350 + 6


async def test_a_declared_balance_that_runs_out_downloads_first(sandbox: VirtualSandbox) -> None:
    sandbox.write_config('[guard]\ntop_up = "50CNY"\n')
    user = ScriptedUser()
    job = sandbox.make_job(user)
    async with sandbox.open_application(user) as application:
        lease = await adopt_machine(sandbox, application, "3.50")
        await application.trips.run(job.make_spec("mistgpu", lease=lease.id), detach=True)
        async with running_guard(application):
            await wait_until_true(lambda: EventKind.RESULTS_SAVED in user.event_kinds())
        assert EventKind.TIME_LOW in user.event_kinds()
        assert EventKind.TOP_UP not in user.event_kinds()
        assert "line" in job.results.read_text()
