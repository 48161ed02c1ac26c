"""Every fen of the simulator against an oracle written from the page of facts."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from hypothesis import given, settings, strategies as st

from gpurent.api import (
    CNY,
    ChargeKind,
    Known,
    Lease,
    LeaseState,
    Offer,
    Order,
    OrderKind,
    Payment,
    Requirements,
    Secret,
)
from plugins.mistgpu.tests.ground import Ground, ground


async def order(land: Ground, key: str, offer: Offer) -> Lease:
    land.host.vault.put(key, Secret("Good-password-1"))
    shop = land.shop
    lease = await shop.reserve(Order(key=key, kind=OrderKind.NEW, offer=offer, password_ref=key))
    return await shop.confirm(lease, Payment(key=key, proof="", amount=CNY.zero, at=land.clock.now()))


async def offers(land: Ground) -> list[Offer]:
    found = await land.shop.offers(Requirements())
    return [offer for offer in found.items if offer.free]  # type: ignore[union-attr]


STEP = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 5000)),
    st.tuples(st.just("create"), st.integers(0, 2)),
    st.tuples(st.just("stop"), st.integers(0, 3)),
    st.tuples(st.just("pay"), st.integers(1, 3000)),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=14))
def test_ledger_is_balance_and_every_run_costs_what_the_oracle_says(steps: list[tuple[str, int]]) -> None:
    asyncio.run(play(steps))


async def play(steps: list[tuple[str, int]]) -> None:
    async with ground(taken="0") as land:
        await land.pay_in("5.00")
        for number, (what, value) in enumerate(steps):
            books = land.simulator.books
            running = [server for server in books.servers.values() if server.running]
            if what == "wait":
                await land.later(timedelta(seconds=value))
            elif what == "pay":
                await land.pay_in(f"{value / 100:.2f}")
            elif what == "stop" and running:
                lease_shop = land.shop
                await land.host.login()
                await books.shut_by_user("student", running[value % len(running)].id)
                assert lease_shop is not None
            elif what == "create" and books.accounts["student"].balance > 0:
                free = await offers(land)
                if free:
                    lease = await order(land, f"k{number}", free[value % len(free)])
                    assert lease.state is LeaseState.READY  # type: ignore[attr-defined]
            check(land)


def check(land: Ground) -> None:
    books = land.simulator.books
    account = books.accounts["student"]
    assert account.balance >= 0
    assert sum(line.amount.amount for line in books.ledger if line.account == "student") == account.balance
    spent = 0
    for server in books.servers.values():
        for run in server.runs:
            end = run.ended_at or land.clock.now()
            begun = (end - run.started_at) // timedelta(minutes=1) + 1
            full = run.price * begun // 60
            spent += run.paid
            dry = run.ended_at is not None and account.balance == 0
            assert run.paid == full or (dry and run.paid <= full) or run.minutes < begun
            assert run.paid <= full
    assert spent <= account.spent
    on = {server.data for server in books.servers.values() if server.running}
    assert on == set(land.machines.on.values()), "a machine is on exactly while it is billed"


async def test_the_balance_runs_dry_to_the_minute() -> None:
    async with ground(taken="0") as land:
        await land.pay_in("7.00")
        titan = next(offer for offer in await offers(land) if offer.hardware.gpu == "Titan RTX")
        started = land.clock.now()
        await order(land, "k", titan)
        # 3.50 CNY an hour: 7.00 lasts two hours, and the 120th begun minute takes the last fen.
        await land.later(timedelta(minutes=118, seconds=59))
        assert len(land.machines.on) == 1
        await land.later(timedelta(days=3))
        (server,) = land.simulator.books.servers.values()
        assert server.runs[-1].ended_at == started + timedelta(minutes=119)
        assert land.simulator.books.accounts["student"].balance == 0
        assert land.machines.on == {}
        assert land.simulator.ledger()[-1].at == started + timedelta(minutes=119)


async def test_two_servers_drain_one_balance_and_end_together() -> None:
    async with ground(taken="0") as land:
        await land.pay_in("6.50")
        free = await offers(land)
        await order(land, "a", free[0])
        await order(land, "b", free[1])
        await land.later(timedelta(hours=2))
        ends = {server.runs[-1].ended_at for server in land.simulator.books.servers.values()}
        assert len(ends) == 1
        assert None not in ends


async def test_top_up_counts_once() -> None:
    async with ground() as land:
        way = await land.account.top_up(CNY.money("3.00"))
        for _again in range(3):
            await land.host.http.request("POST", way.url.removeprefix(land.url) + "/settle")
        assert (await land.account.balance()).available == CNY.money("3.00")


async def test_the_statement_is_what_the_balance_is_made_of() -> None:
    async with ground(taken="0") as land:
        await land.pay_in("20.00")
        await land.account.top_up(CNY.money("5.00"))
        first = await order(land, "a", (await offers(land))[0])
        await land.later(timedelta(minutes=40))
        await land.shop.release(first)
        again = await order(land, "b", (await offers(land))[0])
        await land.later(timedelta(minutes=7))
        found = await land.account.statement()
        assert isinstance(found, Known)
        assert [charge.kind for charge in found.items] == [ChargeKind.TOP_UP, ChargeKind.USE, ChargeKind.USE]
        assert [charge.growing for charge in found.items] == [False, False, True]
        (charged,) = (await land.account.charges(again)).items  # type: ignore[union-attr]
        assert charged == found.items[2], "the same reference in both"
        came, *used = (charge.money.amount for charge in found.items)
        assert came - sum(used) == (await land.account.balance()).available.amount
        await land.later(timedelta(days=16))
        kept = await land.account.statement()
        assert isinstance(kept, Known)
        assert {charge.ref for charge in kept.items} == {charge.ref for charge in found.items}
