"""Machines that their provider lists late: of a create that was sent twice, or whose answer was not understood."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from gpurent.roles.simulator import SupportsHiding
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.reliability.judge import judge
from tests.reliability.providers import list_testable_providers
from tests.reliability.user_sandbox import KillPoint, open_user_sandbox

# One that finds its machines by labels, and whose offers can be taken.
LABELLED = [one for one in list_testable_providers() if one.name == "vast"]
# One that tells neither starts nor charges.
BILLED_AFTERWARDS = [one for one in list_testable_providers() if one.name == "lambda"]
LAUNCH = "/api/v1/instance-operations/launch"


@pytest.mark.slow
async def test_what_was_refused_and_runs_is_a_lease_again() -> None:
    (provider,) = LABELLED
    async with open_user_sandbox(provider) as user:
        simulator = user.sandbox.cloud.simulators_by_name[provider.name]
        assert isinstance(simulator, SupportsHiding)
        fault = ServiceFault(service=provider.name, method="PUT", duplicate=True, nth=1, times=1)
        await user.sandbox.cloud.faults.add(fault)
        simulator.hide_machines(user.sandbox.cloud.clock.now() + timedelta(minutes=10))
        rented = await user.type_command("rent", "-p", provider.name)
        assert rented.code == 0, rented.err
        assert "trying the next offer" in rented.err
        await user.sandbox.cloud.advance(timedelta(minutes=10))
        listed = await user.list_living_leases("--refresh")
        assert len(listed) == len(user.list_burning()) == 2
        assert "lists it after all" in user.commands[-1].err
        for lease in listed:
            assert (await user.type_command("release", str(lease["id"]))).code == 0
        assert await judge(user) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "effect", [{"status": 500, "after": True}, {"duplicate": True}], ids=["lost", "twice"]
)
async def test_a_second_machine_of_a_living_lease_is_found_and_costs_no_less_than_the_bill(
    effect: Mapping[str, Any],
) -> None:
    (provider,) = BILLED_AFTERWARDS
    async with open_user_sandbox(provider, machines=200) as user:
        simulator = user.sandbox.cloud.simulators_by_name[provider.name]
        assert isinstance(simulator, SupportsHiding)
        fault = ServiceFault(service=provider.name, path=LAUNCH, nth=1, times=1, **effect)
        await user.sandbox.cloud.faults.add(fault)
        simulator.hide_machines(user.sandbox.cloud.clock.now() + timedelta(minutes=10))
        assert (await user.type_command("rent", "-p", provider.name)).code == 0
        await user.sandbox.cloud.advance(timedelta(minutes=10))
        listed = await user.list_living_leases("--refresh")
        assert len(listed) == len(user.list_burning()) == 2
        await user.sandbox.cloud.advance(timedelta(hours=1))
        for lease in await user.list_living_leases():
            assert (await user.type_command("release", str(lease["id"]))).code == 0
        # Nothing that is known in time could have prevented the second machine itself.
        kinds = {loss.kind for loss in await judge(user)}
        assert kinds <= {"payment lost or double"}


@pytest.mark.slow
async def test_a_look_by_a_wrong_clock_does_not_move_the_start_of_the_costs() -> None:
    (provider,) = BILLED_AFTERWARDS
    async with open_user_sandbox(provider, speed=10) as user:
        user.sandbox.cloud.clock.set_client_error(timedelta(days=15))
        await user.type_command("rent", "-p", provider.name, kill=KillPoint(kind="http", number=16))
        await user.type_command("ls", "--refresh")
        (trip,) = await user.list_open_trips()
        # Its first request is a look at the machine.
        await user.type_command("resume", trip, kill=KillPoint(kind="http", number=3))
        (lease,) = await user.list_living_leases()
        assert lease["state"] == "provisioning", "too slow to show anything"
        await user.sandbox.cloud.advance(timedelta(minutes=2))
        assert (await user.type_command("resume", trip)).code == 0
        await user.sandbox.cloud.advance(timedelta(hours=1))
        assert (await user.type_command("release", str(lease["id"]))).code == 0
        assert await judge(user) == []
