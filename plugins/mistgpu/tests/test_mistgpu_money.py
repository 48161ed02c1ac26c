"""Every fen of the simulator, checked against an independent calculation from the documented facts."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from hypothesis import given, settings, strategies as st

from gpurent.api import CNY, ChargeKind, Known, LeaseState
from plugins.mistgpu.tests.mistgpu_harness import USER, MistgpuHarness, mistgpu_harness

STEPS = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 5000)),
    st.tuples(st.just("create"), st.integers(0, 2)),
    st.tuples(st.just("stop"), st.integers(0, 3)),
    st.tuples(st.just("pay"), st.integers(1, 3000)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=14))
def test_ledger_is_balance_and_every_run_costs_what_the_oracle_says(steps: list[tuple[str, int]]) -> None:
    asyncio.run(run_steps(steps))


async def run_steps(steps: list[tuple[str, int]]) -> None:
    async with mistgpu_harness(taken="0") as harness:
        await harness.top_up("5.00")
        for number, (action, value) in enumerate(steps):
            running = [server for server in harness.state.servers.values() if server.running]
            if action == "wait":
                await harness.advance(seconds=value)
            elif action == "pay":
                await harness.top_up(f"{value / 100:.2f}")
            elif action == "stop" and running:
                await harness.state.shut_down_by_user(USER, running[value % len(running)].id)
            elif action == "create" and harness.state.accounts[USER].balance > 0:
                free = await harness.list_free_offers()
                if free:
                    lease = await harness.rent_lease(f"k{number}", free[value % len(free)])
                    # The rest may not pay for a whole minute: the server is then shut down in its first one.
                    exhausted = harness.state.accounts[USER].balance == 0
                    assert lease.state is (LeaseState.KEPT if exhausted else LeaseState.READY)
            check_balances(harness)


def check_balances(harness: MistgpuHarness) -> None:
    state = harness.state
    account = state.accounts[USER]
    assert account.balance >= 0
    assert sum(line.amount.amount for line in state.ledger if line.account == USER) == account.balance
    spent = 0
    for server in state.servers.values():
        # Shut down because the balance was used up; the last minute then costs what was left.
        exhausted = server.note == "余额不足"
        for run in server.runs:
            end = run.ended_at or harness.clock.now()
            begun_minutes = (end - run.started_at) // timedelta(minutes=1) + 1
            full = run.price * begun_minutes // 60
            spent += run.paid
            assert run.paid == full or (exhausted and run.paid <= full) or run.minutes < begun_minutes
            assert run.paid <= full
    assert spent <= account.spent
    on = {server.data for server in state.servers.values() if server.running}
    alive = {machine.spec.data for machine in harness.machines.alive_machines.values()}
    assert on == alive, "a machine is on exactly while it is billed"


async def test_balance_runs_out_at_the_exact_minute() -> None:
    async with mistgpu_harness(taken="0") as harness:
        await harness.top_up("7.00")
        titan = next(offer for offer in await harness.list_free_offers() if offer.hardware.gpu == "Titan RTX")
        started = harness.clock.now()
        await harness.rent_lease("k", titan)
        # At 3.50 CNY an hour, 7.00 CNY lasts two hours, and the 120th started minute takes the last fen.
        await harness.advance(minutes=118, seconds=59)
        assert len(harness.machines.alive_machines) == 1
        await harness.advance(days=3)
        (server,) = harness.state.servers.values()
        assert server.runs[-1].ended_at == started + timedelta(minutes=119)
        assert harness.state.accounts[USER].balance == 0
        assert harness.machines.alive_machines == {}
        assert harness.simulator.list_ledger_entries()[-1].at == started + timedelta(minutes=119)


async def test_two_servers_drain_one_balance_and_end_together() -> None:
    async with mistgpu_harness(taken="0") as harness:
        await harness.top_up("6.50")
        free = await harness.list_free_offers()
        await harness.rent_lease("a", free[0])
        await harness.rent_lease("b", free[1])
        await harness.advance(hours=2)
        ends = {server.runs[-1].ended_at for server in harness.state.servers.values()}
        assert len(ends) == 1
        assert None not in ends


async def test_top_up_counts_once() -> None:
    async with mistgpu_harness() as harness:
        top_up = await harness.billing.create_top_up(CNY.money("3.00"))
        for _attempt in range(3):
            await harness.settle_payment(top_up.url)
        assert (await harness.billing.get_balance()).available == CNY.money("3.00")


async def test_the_statement_is_what_the_balance_is_made_of() -> None:
    async with mistgpu_harness(taken="0") as harness:
        await harness.top_up("20.00")
        await harness.billing.create_top_up(CNY.money("5.00"))
        first = await harness.rent_lease("a")
        await harness.advance(minutes=40)
        await harness.provider.release_lease(first)
        again = await harness.rent_lease("b")
        await harness.advance(minutes=7)
        found = await harness.billing.get_statement()
        assert isinstance(found, Known)
        assert [charge.kind for charge in found.items] == [
            ChargeKind.TOP_UP,
            ChargeKind.USAGE,
            ChargeKind.USAGE,
        ]
        assert [charge.growing for charge in found.items] == [False, False, True]
        listed = await harness.billing.list_charges(again)
        assert isinstance(listed, Known)
        assert list(listed.items) == [found.items[2]], "the same reference in both"
        came, *used = (charge.money.amount for charge in found.items)
        assert came - sum(used) == (await harness.billing.get_balance()).available.amount
        await harness.advance(days=16)
        kept = await harness.billing.get_statement()
        assert isinstance(kept, Known)
        assert {charge.ref for charge in kept.items} == {charge.ref for charge in found.items}
