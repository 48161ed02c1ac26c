"""A create that something on the way sent twice is refused about itself, while the list lacks its machine."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gpurent.roles.simulator import SupportsHiding
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.reliability.judge import judge
from tests.reliability.providers import list_testable_providers
from tests.reliability.user_sandbox import open_user_sandbox

# One that finds its machines by labels, and whose offers can be taken.
LABELLED = [one for one in list_testable_providers() if one.name == "vast"]


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
