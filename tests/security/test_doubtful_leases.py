"""A lease whose machine nobody vouches for is not used, but its limits stay in force and it can be released."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY
from gpurent.domain.trip import TripLimits
from gpurent.errors import InputRequired
from tests.guard.running_guard import running_guard
from tests.guard.virtual_sandbox import VirtualSandbox, is_lease_over, wait_until_true
from tests.security.attacks import Adversary, Outcome, attack
from tests.workflow.trip_sandbox import ScriptedUser

pytestmark = pytest.mark.virtual_time


class _DoubtfulSandbox(VirtualSandbox):
    """A sandbox that cannot prove that it is one: anybody may listen on its ports."""

    async def _is_own_service(self, environment: Mapping[str, str], url: str) -> bool:
        return False


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[VirtualSandbox]:
    async with _DoubtfulSandbox.open_sandbox(tmp_path, "mistgpu") as made:
        yield made


async def run_into_doubt(sandbox: VirtualSandbox, application: Application, limits: TripLimits) -> Lease:
    """Run a trip at the metered provider; it stops before anything is sent to the machine."""
    await sandbox.log_in_to_mistgpu(application, "300")
    spec = sandbox.make_job(ScriptedUser()).make_spec("mistgpu", limits)
    with pytest.raises(InputRequired) as caught:
        await application.trips.run(spec)
    (lease,) = await application.store.list_leases()
    assert caught.value.burning == (lease.id,)
    assert f"gpurent connect {lease.id}" in caught.value.hint
    assert len(list(sandbox.list_burning())) == 1, "the lease is kept"
    assert lease.needs_proof
    assert lease.endpoint is not None
    return lease


@pytest.mark.parametrize(
    "limits",
    [
        TripLimits(budget=CNY.money("3.20")),
        TripLimits(deadline_in=timedelta(hours=3)),
    ],
    ids=["budget", "deadline"],
)
@attack(
    Adversary.LOCAL_USER,
    "answers as a metered provider's service, so that a machine is never used and never released",
    Outcome.ASKED,
    kind="S3",
)
async def test_the_guard_ends_a_doubtful_lease_at_its_limit(
    sandbox: VirtualSandbox, limits: TripLimits
) -> None:
    async with sandbox.open_application() as application:
        lease = await run_into_doubt(sandbox, application, limits)
        async with running_guard(application):
            await wait_until_true(lambda: is_lease_over(application, lease.id))
        used = -sum(line.amount.amount for line in sandbox.get_ledger("mistgpu") if line.kind == "usage")
        assert 0 < used <= CNY.money("9.50").amount
    assert list(sandbox.list_burning()) == []


async def test_a_doubtful_lease_can_be_released(sandbox: VirtualSandbox) -> None:
    async with sandbox.open_application() as application:
        lease = await run_into_doubt(sandbox, application, TripLimits())
        released = await application.releases.release_lease(lease.id)
        assert released.lease == lease.id
        assert application.connector.list_host_keys(lease.id) == [], "nothing was pinned for it"
    assert list(sandbox.list_burning()) == []


async def test_a_lease_that_moved_is_released_too(tmp_path: Path) -> None:
    """Its provider names another place, as a broken or hostile one would; nothing is sent there."""
    async with VirtualSandbox.open_sandbox(tmp_path, "mistgpu") as sandbox:
        async with sandbox.open_application() as application:
            await sandbox.log_in_to_mistgpu(application, "300")
            spec = sandbox.make_job(ScriptedUser()).make_spec(
                "mistgpu", TripLimits(deadline_in=timedelta(hours=3))
            )
            begun = await application.trips.run(spec, detach=True)
            connector = application.connector
            lease = await application.leases.get_lease(begun.lease_id)
            assert lease.endpoint is not None
            elsewhere = evolve(lease.endpoint, port=lease.endpoint.port + 1000)
            pinned = connector.find_pinned_host_key(lease.id, lease.endpoint)
            assert pinned is not None
            connector.unpin_host_key(lease.id, lease.endpoint)
            connector.pin_host_key(lease.id, elsewhere, pinned)
            with pytest.raises(InputRequired):
                await application.machine_commands.run_command(lease.id, "true")
            async with running_guard(application):
                await wait_until_true(lambda: is_lease_over(application, lease.id))
        assert list(sandbox.list_burning()) == []
