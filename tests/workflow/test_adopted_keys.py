"""A machine that is reached by key, and was created with somebody else's: adopted, it lets the lease's key in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from gpurent.domain.lease import LeaseState
from tests.workflow.test_stopped_machines import log_in
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=3) as made:
        yield made


async def create_by_hand(sandbox: TripSandbox) -> str:
    """Create a machine as another program would, with no key of ours."""
    state = sandbox.get_simulator_state("vast")
    headers = {"Authorization": f"Bearer {state.accounts[0].api_key}"}
    body = {"image": "x", "disk": 16, "runtype": "ssh_direc ssh_proxy", "label": "theirs"}
    async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["vast"], headers=headers) as client:
        answer = await client.put(f"/api/v0/asks/{min(state.machines)}/", json=body)
    return str(answer.json()["new_contract"])


async def test_an_adopted_machine_lets_the_key_of_its_lease_in(sandbox: TripSandbox) -> None:
    user = ScriptedUser(confirms=True)
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        ref = await create_by_hand(sandbox)
        await application.poller.pause(timedelta(seconds=40))
        lease = await application.orphan_commands.adopt_orphan(ref)
        assert (lease.ref, lease.state) == (ref, LeaseState.READY)
        assert not [event.text for event in user.events if "password" in event.text]
        async with application.connections.connect_to_lease(lease.id) as connection:
            ran = await connection.run_with_retry(lambda ssh: ssh.run("echo $((6 * 7))"))
        assert ran.stdout.strip() == "42"
        await application.releases.release_lease(lease.id)
    assert list(sandbox.cloud.burning()) == []
