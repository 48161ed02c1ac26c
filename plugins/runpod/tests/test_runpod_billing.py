"""The credit of RunPod: told by GraphQL while that lasts, computed from the billing history after it."""

from __future__ import annotations

import pytest
from attrs import evolve

from gpurent.api import (
    Charge,
    Known,
    Lease,
    MoneyError,
    Secret,
    Spent,
    UnavailableError,
    UnexpectedResponse,
    Unknown,
)
from gpurent.testing.sandbox.service_faults import ServiceFault
from gpurent_plugin_runpod import wire
from plugins.runpod.tests.runpod_harness import NAME, RunpodHarness, runpod_harness


async def read_charges(user: RunpodHarness, lease: Lease) -> list[Charge]:
    found = await user.billing.list_charges(lease)
    assert isinstance(found, Known), found
    return list(found.items)


async def test_the_top_up_leads_to_the_page_with_account_and_amount() -> None:
    async with runpod_harness("0") as user:
        shown = await user.billing.create_top_up(wire.USD.money("12.5"))
        assert shown.url.endswith(f"/{user.api.account.id}/12.5")
        with pytest.raises(MoneyError):
            await user.billing.create_top_up(wire.USD.zero)


async def test_charges_are_those_of_the_simulator_and_its_balance() -> None:
    async with runpod_harness("50") as user:
        lease = await user.rent_running()
        await user.api.advance(days=2)
        stopped = await user.provider.stop_lease(lease)
        assert isinstance(stopped, Lease)
        await user.api.advance(days=2)
        charges = await read_charges(user, lease)
        assert [charge.growing for charge in charges] == [False] * (len(charges) - 1) + [True]
        assert charges[0].note == "gpu, disk"
        assert charges[-1].note == "disk"
        released = await user.release(await user.refresh(lease))
        total = sum(charge.money.amount for charge in await read_charges(user, released))
        assert total == user.api.pod.costs.compute_cost(user.api.state.at)
        assert (await user.billing.get_balance()).available.amount == 50_000_000 - total
        await user.api.check_books()


async def test_what_is_billed_late_is_not_taken_for_all() -> None:
    async with runpod_harness() as user:
        lease = await user.rent_running()
        seen = await user.refresh(lease)
        await user.api.advance(minutes=7)
        released = await user.release(seen)
        assert [charge.growing for charge in await read_charges(user, released)] == [True]
        await user.api.advance(minutes=11)
        assert [charge.growing for charge in await read_charges(user, released)] == [False]


async def test_a_pod_that_is_not_billed_yet_is_not_free() -> None:
    async with runpod_harness() as user:
        lease = await user.rent()
        assert await user.billing.list_charges(lease) == Known(())
        seen = await user.refresh(lease)
        user.api.account.bookings.clear()
        assert isinstance(await user.billing.list_charges(seen), Unknown)


async def test_without_graphql_the_balance_is_unknown_unless_it_was_declared() -> None:
    async with runpod_harness() as user:
        user.api.simulator.has_graphql = False
        with pytest.raises(MoneyError, match="you declared none") as caught:
            await user.billing.get_balance()
        assert (caught.value.spent, "config.toml" in caught.value.hint) == (Spent.NO, True)


async def test_a_declared_balance_is_reduced_by_all_that_was_billed_since() -> None:
    async with runpod_harness("25") as user:
        now = user.api.clock.now()
        user.user.config[NAME] = {**user.user.config[NAME], "balance": f"25.00 USD {now.isoformat()}"}
        user.api.simulator.has_graphql = False
        lease = await user.rent_running()
        await user.api.rent(name="not ours", cpu={"id": "cpu5c", "vcpuCount": 2})
        volume = {"name": "files", "size": 100, "dataCenter": "EU-RO-1"}
        assert (await user.api.request("POST", "/v2/network-volumes", json=volume)).status == 201
        await user.api.advance(days=1)
        await user.release(lease)
        found = (await user.billing.get_balance()).available
        assert found.amount == user.api.account.balance, (
            "with what the REST API bills for volumes and other pods"
        )


async def test_a_service_that_is_busy_is_no_account_without_balance() -> None:
    async with runpod_harness(config={"balance": "99 USD 2026-01-01T00:00Z"}) as user:
        for status, kind in ((429, UnavailableError), (503, UnavailableError), (200, UnexpectedResponse)):
            fault = {"service": NAME, "contains": "/graphql", "status": status, "body": "<html></html>"}
            await user.api.sandbox.simulators.faults.add(ServiceFault.from_json(fault))
            with pytest.raises(kind):
                await user.billing.get_balance()
            await user.api.sandbox.simulators.faults.clear()


async def test_a_login_without_graphql_is_known_by_its_key() -> None:
    async with runpod_harness() as user:
        assert (await user.user.login(NAME, force_new=True)).account == user.api.account.id
        user.api.simulator.has_graphql = False
        login = await user.user.login(NAME, force_new=True)
        assert login.account.startswith("key-")
        assert user.api.account.api_key[-12:] not in login.account
        authenticator = user.user.authenticator(NAME)
        assert await authenticator.is_valid(login)
        assert not await authenticator.is_valid(evolve(login, token=Secret("rpa_wrong")))
        lease = await user.rent_running()
        assert (await user.release(lease)).is_over


@pytest.mark.parametrize(
    "text", ["25 USD", "25 2026-12-01T09:00Z", "USD 2026-12-01", "25 EUR 2026-12-01", "soon"]
)
def test_a_declared_balance_has_a_currency_and_a_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        wire.parse_declared_balance(text)


def test_a_declared_balance_is_read_exactly() -> None:
    money, at = wire.parse_declared_balance("1,025.50 USD 2026-12-01T09:00:00+01:00")
    assert money == wire.USD.money("1025.50")
    assert at.isoformat() == "2026-12-01T09:00:00+01:00" or at.utcoffset() is not None
