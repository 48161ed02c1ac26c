"""The provider over the simulator's real socket: lost responses, taken machines, expired sessions, kept files."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import (
    CNY,
    AuthError,
    GpurentError,
    Known,
    LeaseState,
    Metered,
    Order,
    OrderKind,
    Requirements,
    Secret,
    SoldOut,
    Spent,
    UnavailableError,
)
from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.testing.sandbox.fault_proxy import FaultProxy
from plugins.mistgpu.tests.mistgpu_harness import NAME, USER, MistgpuHarness, mistgpu_harness


async def test_a_lease_from_rent_to_bill(site: MistgpuHarness) -> None:
    lease = await site.rent_lease()
    assert lease.state is LeaseState.READY
    assert lease.endpoint is not None
    assert lease.endpoint.user == "mist"
    await site.advance(minutes=9, seconds=30)
    over = await site.provider.release_lease(lease)
    assert over.state is LeaseState.KEPT
    assert over.kept_until == site.clock.now() + timedelta(days=15)
    assert await site.provider.release_lease(over) == over
    charges = await site.billing.list_charges(over)
    assert isinstance(charges, Known)
    (charge,) = charges.items
    assert isinstance(lease.offer.tariff, Metered)
    assert charge.money == lease.offer.tariff.price.cost(timedelta(minutes=10), round_up=False)
    assert (await site.billing.get_balance()).available == CNY.money("10.00") - charge.money


async def test_a_lost_answer_to_create_makes_one_server_only(site: MistgpuHarness) -> None:
    lease = await site.reserve_lease()
    port = int(site.url.rpartition(":")[2])
    async with FaultProxy("127.0.0.1", port) as proxy:
        proxy.plan = FaultPlan(
            http_fault="lose_response",
            matches_request=lambda line: line.startswith(b"POST /create/"),
            times=1,
        )
        site.user.config[NAME]["url"] = f"http://127.0.0.1:{proxy.port}"
        with pytest.raises(UnavailableError) as caught:
            await site.provider.confirm_lease(lease, site.make_zero_payment())
        assert caught.value.spent is Spent.UNKNOWN
    site.user.config[NAME]["url"] = site.url
    assert len(site.machines.booted) == 1
    again = await site.provider.confirm_lease(lease, site.make_zero_payment())
    assert again.state is LeaseState.READY
    assert len(site.machines.booted) == 1
    assert await site.provider.confirm_lease(again, site.make_zero_payment()) == again


async def test_release_finds_the_server_of_a_lost_create(site: MistgpuHarness) -> None:
    lease = await site.reserve_lease()
    await site.provider.confirm_lease(lease, site.make_zero_payment())
    over = await site.provider.release_lease(lease)
    assert over.state is LeaseState.KEPT
    assert site.machines.alive_machines == {}


async def test_release_of_what_was_never_created(site: MistgpuHarness) -> None:
    lease = await site.provider.release_lease(await site.reserve_lease())
    assert lease.state is LeaseState.CANCELLED
    assert site.machines.booted == []


async def test_taken_before_and_taken_meanwhile(site: MistgpuHarness) -> None:
    lease = await site.reserve_lease()
    site.state.machines[lease.offer.key].user = "somebody"
    with pytest.raises(SoldOut):
        await site.provider.confirm_lease(lease, site.make_zero_payment())
    with pytest.raises(SoldOut):
        await site.reserve_lease("x", lease.offer)
    assert site.machines.booted == []


async def test_wrong_password_shows_the_providers_message() -> None:
    async with mistgpu_harness() as site:
        site.user.credentials[NAME]["password"] = Secret("wrong")
        with pytest.raises(AuthError, match="用户名或密码错误"):
            await site.user.login(NAME)


async def test_a_session_that_expires_is_renewed_once() -> None:
    async with mistgpu_harness(session_minutes="30") as site:
        await site.top_up("10.00")
        lease = await site.rent_lease()
        first = site.user.logins[NAME]
        await site.advance(minutes=31)
        assert (await site.provider.refresh_lease(lease)).state is LeaseState.READY
        assert site.user.logins[NAME] != first


async def test_files_are_kept_fifteen_days_and_restored_on_restart(site: MistgpuHarness) -> None:
    lease = await site.provider.release_lease(await site.rent_lease())
    await site.advance(days=14)
    order = evolve(site.provider.make_restart_order(lease, "again"), password_ref="k")
    again = await site.provider.confirm_lease(
        await site.provider.reserve_lease(order), site.make_zero_payment("again")
    )
    assert again.state is LeaseState.READY
    assert again.ref == lease.ref
    assert (await site.provider.refresh_lease(lease)).state is LeaseState.RELEASED
    over = await site.provider.release_lease(again)
    await site.advance(days=15, seconds=1)
    assert site.machines.erased == [f"mist-{lease.ref}"]
    assert (await site.provider.refresh_lease(over)).state is LeaseState.GONE


async def test_restart_is_refused_while_somebody_has_the_machine(site: MistgpuHarness) -> None:
    lease = await site.provider.release_lease(await site.rent_lease())
    site.state.machines[lease.offer.key].user = "somebody"
    order = evolve(site.provider.make_restart_order(lease, "again"), password_ref="k")
    with pytest.raises(SoldOut):
        await site.provider.confirm_lease(
            await site.provider.reserve_lease(order), site.make_zero_payment("again")
        )


async def test_the_stop_script_ends_the_billing(site: MistgpuHarness) -> None:
    lease = await site.rent_lease()
    await site.machines.only_machine.stop()
    assert (await site.provider.refresh_lease(lease)).state is LeaseState.KEPT
    balance = (await site.billing.get_balance()).available
    await site.advance(hours=3)
    assert (await site.billing.get_balance()).available == balance


async def test_assumed_forms_are_not_submitted_to_the_real_service(site: MistgpuHarness) -> None:
    lease = await site.rent_lease()
    site.user.config[NAME]["allow_assumed"] = "no"
    with pytest.raises(UnavailableError, match="never seen") as caught:
        await site.provider.release_lease(lease)
    assert "Do it manually" in caught.value.hint
    with pytest.raises(UnavailableError):
        await site.provider.reserve_lease(Order(key="x", kind=OrderKind.NEW, offer=lease.offer))
    with pytest.raises(GpurentError):
        await site.billing.create_top_up(CNY.money(5))
    assert len(site.machines.alive_machines) == 1
    found = await site.provider.list_offers(Requirements())
    assert isinstance(found, Known)
    assert found.items


async def test_invoice_from_two_hundred_spent(site: MistgpuHarness) -> None:
    site.state.accounts[USER].spent = 19_999
    found = await site.billing.get_invoice_info()
    assert (found.ready, found.minimum_spending) == (False, CNY.money(200))
    site.state.accounts[USER].spent = 20_000
    found = await site.billing.get_invoice_info()
    assert (found.ready, found.uninvoiced) == (True, CNY.money(200))
