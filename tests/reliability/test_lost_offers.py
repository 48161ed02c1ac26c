"""A trip whose first offer is taken by somebody else: what it bought for the account stays in its books."""

from __future__ import annotations

import json

import pytest

from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.reliability.judge import judge
from tests.reliability.providers import list_testable_providers
from tests.reliability.recovery import settle
from tests.reliability.user_sandbox import open_user_sandbox


@pytest.mark.nightly
async def test_the_fee_for_an_address_is_in_the_costs_after_the_first_offer_was_lost() -> None:
    provider = next(provider for provider in list_testable_providers() if provider.stages)
    taken = {"status": -1, "content": [], "msg": "机器已被租用"}
    async with open_user_sandbox(provider) as user:
        fault = ServiceFault(
            service=provider.name, path="*/create_order", nth=1, times=1, body=json.dumps(taken)
        )
        await user.sandbox.cloud.faults.add(fault)
        rented = await user.type_command("rent", "-p", provider.name, *user.term)
        assert rented.code == 0, rented.err
        assert "trying the next offer" in rented.err
        await settle(user)
        assert await judge(user) == []
