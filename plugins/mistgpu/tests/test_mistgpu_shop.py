"""The provider over a real socket: lost answers, taken machines, sessions that expire, files that are kept."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import (
    CNY,
    AuthError,
    GpurentError,
    Lease,
    LeaseState,
    Offer,
    Order,
    OrderKind,
    Payment,
    Requirements,
    Secret,
    SoldOut,
    Spent,
    UnavailableError,
)
from gpurent.infra.http import HttpClient
from gpurent.infra.redact import Redactor
from gpurent.testing.sandbox.faults import FaultProxy, Plan
from plugins.mistgpu.tests.ground import Ground, ground


async def reserved(land: Ground, key: str = "k") -> Lease:
    land.host.vault.put(key, Secret("Good-password-1"))
    found = await land.shop.offers(Requirements())
    offer: Offer = next(offer for offer in found.items if offer.free)  # type: ignore[union-attr]
    return await land.shop.reserve(Order(key=key, kind=OrderKind.NEW, offer=offer, password_ref=key))


def nothing(land: Ground, key: str = "k") -> Payment:
    return Payment(key=key, proof="", amount=CNY.zero, at=land.clock.now())


async def rented(land: Ground, key: str = "k") -> Lease:
    return await land.shop.confirm(await reserved(land, key), nothing(land, key))


async def test_a_whole_life_and_its_bill() -> None:
    async with ground() as land:
        await land.pay_in("10.00")
        lease = await rented(land)
        assert lease.state is LeaseState.READY
        assert lease.endpoint is not None
        assert lease.endpoint.user == "mist"
        await land.later(timedelta(minutes=9, seconds=30))
        lease = await land.shop.release(lease)
        assert lease.state is LeaseState.KEPT
        assert lease.kept_until == land.clock.now() + timedelta(days=15)
        assert await land.shop.release(lease) == lease
        charges = await land.account.charges(lease)
        (charge,) = charges.items  # type: ignore[union-attr]
        assert charge.money == lease.offer.tariff.price.cost(timedelta(minutes=10), up=False)
        assert (await land.account.balance()).available == CNY.money("10.00") - charge.money


async def test_a_lost_answer_to_create_makes_one_server_only() -> None:
    async with ground() as land:
        await land.pay_in("10.00")
        lease = await reserved(land)
        port = int(land.url.rpartition(":")[2])
        async with FaultProxy("127.0.0.1", port) as proxy:
            proxy.plan = Plan(
                http="lose_answer", when=lambda line: line.startswith(b"POST /create/"), times=1
            )
            url = f"http://127.0.0.1:{proxy.port}"
            deaf = HttpClient(url, redact=Redactor(), log=logging.getLogger("test"))
            straight, land.host.http = land.host.http, deaf
            with pytest.raises(UnavailableError) as caught:
                await land.shop.confirm(lease, nothing(land))
            assert caught.value.spent is Spent.UNKNOWN
            land.host.http = straight
            await deaf.aclose()
        assert land.machines.count == 1
        again = await land.shop.confirm(lease, nothing(land))
        assert again.state is LeaseState.READY
        assert land.machines.count == 1
        assert await land.shop.confirm(again, nothing(land)) == again


async def test_release_finds_the_server_of_a_lost_create() -> None:
    async with ground() as land:
        await land.pay_in("10.00")
        lease = await reserved(land)
        await land.shop.confirm(lease, nothing(land))
        over = await land.shop.release(lease)
        assert over.state is LeaseState.KEPT
        assert land.machines.on == {}


async def test_release_of_what_was_never_created() -> None:
    async with ground() as land:
        await land.pay_in("10.00")
        lease = await land.shop.release(await reserved(land))
        assert lease.state is LeaseState.CANCELLED
        assert land.machines.count == 0


async def test_taken_before_and_taken_meanwhile() -> None:
    async with ground() as land:
        await land.pay_in("10.00")
        lease = await reserved(land)
        land.simulator.books.machines[lease.offer.key].user = "somebody"
        with pytest.raises(SoldOut):
            await land.shop.confirm(lease, nothing(land))
        with pytest.raises(SoldOut):
            await land.shop.reserve(Order(key="x", kind=OrderKind.NEW, offer=lease.offer, password_ref="k"))
        assert land.machines.count == 0


async def test_wrong_password_is_said_in_the_sites_words() -> None:
    async with ground() as land:
        land.host.password = "wrong"
        with pytest.raises(AuthError, match="用户名或密码错误"):
            await land.host.login()


async def test_a_session_that_expires_is_renewed_once() -> None:
    async with ground(session_minutes="30") as land:
        await land.pay_in("10.00")
        lease = await rented(land)
        first = land.host.current
        await land.later(timedelta(minutes=31))
        assert (await land.shop.refresh(lease)).state is LeaseState.READY
        assert land.host.current != first


async def test_files_are_kept_fifteen_days_and_restart_brings_them_back() -> None:
    async with ground() as land:
        await land.pay_in("10.00")
        lease = await land.shop.release(await rented(land))
        await land.later(timedelta(days=14))
        order = evolve(land.shop.restart(lease, "again"), password_ref="k")
        again = await land.shop.confirm(await land.shop.reserve(order), nothing(land, "again"))
        assert again.state is LeaseState.READY
        assert again.ref == lease.ref
        assert (await land.shop.refresh(lease)).state is LeaseState.RELEASED
        again = await land.shop.release(again)
        await land.later(timedelta(days=15, seconds=1))
        assert land.machines.erased == [f"mist-{lease.ref}"]
        assert (await land.shop.refresh(again)).state is LeaseState.GONE


async def test_restart_is_refused_while_somebody_has_the_machine() -> None:
    async with ground() as land:
        await land.pay_in("10.00")
        lease = await land.shop.release(await rented(land))
        land.simulator.books.machines[lease.offer.key].user = "somebody"
        order = evolve(land.shop.restart(lease, "again"), password_ref="k")
        with pytest.raises(SoldOut):
            await land.shop.confirm(await land.shop.reserve(order), nothing(land, "again"))


async def test_the_stop_script_ends_the_billing() -> None:
    async with ground() as land:
        await land.pay_in("10.00")
        lease = await rented(land)
        ((machine, stop),) = land.machines.stops.items()
        await stop(machine)
        assert (await land.shop.refresh(lease)).state is LeaseState.KEPT
        balance = (await land.account.balance()).available
        await land.later(timedelta(hours=3))
        assert (await land.account.balance()).available == balance


async def test_assumed_forms_are_not_pressed_on_the_real_site() -> None:
    async with ground() as land:
        await land.pay_in("10.00")
        lease = await rented(land)
        land.host.settings = {**land.host.settings, "assumed": "no"}
        with pytest.raises(UnavailableError, match="never seen") as caught:
            await land.shop.release(lease)
        assert "by hand" in caught.value.hint
        with pytest.raises(UnavailableError):
            await land.shop.reserve(Order(key="x", kind=OrderKind.NEW, offer=lease.offer))
        with pytest.raises(GpurentError):
            await land.account.top_up(CNY.money(5))
        assert len(land.machines.on) == 1
        assert (await land.shop.offers(Requirements())).items  # type: ignore[union-attr]


async def test_invoice_from_two_hundred_spent() -> None:
    async with ground() as land:
        await land.pay_in("1.00")
        land.simulator.books.accounts["student"].spent = 19_999
        found = await land.account.invoice()
        assert (found.ready, found.needed) == (False, CNY.money(200))
        land.simulator.books.accounts["student"].spent = 20_000
        found = await land.account.invoice()
        assert (found.ready, found.open) == (True, CNY.money(200))
