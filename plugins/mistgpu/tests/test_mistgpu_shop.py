"""The shop over the simulator's real socket: lost answers, taken machines, sessions that expire, kept files."""

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
from gpurent.testing.sandbox.faults import FaultProxy, Plan
from plugins.mistgpu.tests.site_harness import NAME, USER, SiteHarness, site_harness


async def test_a_whole_life_and_its_bill(site: SiteHarness) -> None:
    lease = await site.rent()
    assert lease.state is LeaseState.READY
    assert lease.endpoint is not None
    assert lease.endpoint.user == "mist"
    await site.later(minutes=9, seconds=30)
    over = await site.shop.release(lease)
    assert over.state is LeaseState.KEPT
    assert over.kept_until == site.clock.now() + timedelta(days=15)
    assert await site.shop.release(over) == over
    charges = await site.account.charges(over)
    assert isinstance(charges, Known)
    (charge,) = charges.items
    assert isinstance(lease.offer.tariff, Metered)
    assert charge.money == lease.offer.tariff.price.cost(timedelta(minutes=10), up=False)
    assert (await site.account.balance()).available == CNY.money("10.00") - charge.money


async def test_a_lost_answer_to_create_makes_one_server_only(site: SiteHarness) -> None:
    lease = await site.reserve()
    port = int(site.url.rpartition(":")[2])
    async with FaultProxy("127.0.0.1", port) as proxy:
        proxy.plan = Plan(http="lose_answer", when=lambda line: line.startswith(b"POST /create/"), times=1)
        site.user.config[NAME]["url"] = f"http://127.0.0.1:{proxy.port}"
        with pytest.raises(UnavailableError) as caught:
            await site.shop.confirm(lease, site.nothing())
        assert caught.value.spent is Spent.UNKNOWN
    site.user.config[NAME]["url"] = site.url
    assert len(site.machines.booted) == 1
    again = await site.shop.confirm(lease, site.nothing())
    assert again.state is LeaseState.READY
    assert len(site.machines.booted) == 1
    assert await site.shop.confirm(again, site.nothing()) == again


async def test_release_finds_the_server_of_a_lost_create(site: SiteHarness) -> None:
    lease = await site.reserve()
    await site.shop.confirm(lease, site.nothing())
    over = await site.shop.release(lease)
    assert over.state is LeaseState.KEPT
    assert site.machines.alive == {}


async def test_release_of_what_was_never_created(site: SiteHarness) -> None:
    lease = await site.shop.release(await site.reserve())
    assert lease.state is LeaseState.CANCELLED
    assert site.machines.booted == []


async def test_taken_before_and_taken_meanwhile(site: SiteHarness) -> None:
    lease = await site.reserve()
    site.books.machines[lease.offer.key].user = "somebody"
    with pytest.raises(SoldOut):
        await site.shop.confirm(lease, site.nothing())
    with pytest.raises(SoldOut):
        await site.reserve("x", lease.offer)
    assert site.machines.booted == []


async def test_wrong_password_is_said_in_the_sites_words() -> None:
    async with site_harness() as site:
        site.user.credentials[NAME]["password"] = Secret("wrong")
        with pytest.raises(AuthError, match="用户名或密码错误"):
            await site.user.login(NAME)


async def test_a_session_that_expires_is_renewed_once() -> None:
    async with site_harness(session_minutes="30") as site:
        await site.top_up("10.00")
        lease = await site.rent()
        first = site.user.logins[NAME]
        await site.later(minutes=31)
        assert (await site.shop.refresh(lease)).state is LeaseState.READY
        assert site.user.logins[NAME] != first


async def test_files_are_kept_fifteen_days_and_restart_brings_them_back(site: SiteHarness) -> None:
    lease = await site.shop.release(await site.rent())
    await site.later(days=14)
    order = evolve(site.shop.restart(lease, "again"), password_ref="k")
    again = await site.shop.confirm(await site.shop.reserve(order), site.nothing("again"))
    assert again.state is LeaseState.READY
    assert again.ref == lease.ref
    assert (await site.shop.refresh(lease)).state is LeaseState.RELEASED
    over = await site.shop.release(again)
    await site.later(days=15, seconds=1)
    assert site.machines.erased == [f"mist-{lease.ref}"]
    assert (await site.shop.refresh(over)).state is LeaseState.GONE


async def test_restart_is_refused_while_somebody_has_the_machine(site: SiteHarness) -> None:
    lease = await site.shop.release(await site.rent())
    site.books.machines[lease.offer.key].user = "somebody"
    order = evolve(site.shop.restart(lease, "again"), password_ref="k")
    with pytest.raises(SoldOut):
        await site.shop.confirm(await site.shop.reserve(order), site.nothing("again"))


async def test_the_stop_script_ends_the_billing(site: SiteHarness) -> None:
    lease = await site.rent()
    await site.machines.only.stop()
    assert (await site.shop.refresh(lease)).state is LeaseState.KEPT
    balance = (await site.account.balance()).available
    await site.later(hours=3)
    assert (await site.account.balance()).available == balance


async def test_assumed_forms_are_not_pressed_on_the_real_site(site: SiteHarness) -> None:
    lease = await site.rent()
    site.user.config[NAME]["assumed"] = "no"
    with pytest.raises(UnavailableError, match="never seen") as caught:
        await site.shop.release(lease)
    assert "by hand" in caught.value.hint
    with pytest.raises(UnavailableError):
        await site.shop.reserve(Order(key="x", kind=OrderKind.NEW, offer=lease.offer))
    with pytest.raises(GpurentError):
        await site.account.top_up(CNY.money(5))
    assert len(site.machines.alive) == 1
    found = await site.shop.offers(Requirements())
    assert isinstance(found, Known)
    assert found.items


async def test_invoice_from_two_hundred_spent(site: SiteHarness) -> None:
    site.books.accounts[USER].spent = 19_999
    found = await site.account.invoice()
    assert (found.ready, found.needed) == (False, CNY.money(200))
    site.books.accounts[USER].spent = 20_000
    found = await site.account.invoice()
    assert (found.ready, found.open) == (True, CNY.money(200))
