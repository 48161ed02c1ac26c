"""Any response may be lost and any process may die: nothing is paid twice, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Literal

import pytest

from gpurent.api import MoneyError, Spent, UnavailableError
from gpurent.testing.fakes import ProcessKilled
from gpurent_plugin_dbcchain.extrinsic import ERA_PERIOD, RENT_PALLET, TERMINATING_PALLET, Pallet
from gpurent_plugin_dbcchain.price import BLOCK_TIME
from gpurent_plugin_dbcchain.sender import MAX_TRIES
from gpurent_plugin_dbcchain.simulator.chain import InvalidExtrinsic, SimulatedChain
from plugins.dbcchain.tests.chain_harness import ChainHarness, ChainUser, Driver, chain_harness, sum_spent

WAYS = [
    (pallet, fault)
    for pallet in (RENT_PALLET, TERMINATING_PALLET)
    for fault in ("lose_response", "lose_request")
]
IDS = [f"{pallet.rpc_prefix}-{fault}" for pallet, fault in WAYS]
CALL_STEP = 89
MAX_WRITES = 40


async def run_canonical_trip(user: ChainUser, driver: Driver, pallet: Pallet) -> None:
    """Rent an hour, add twenty minutes, release after half of it."""
    await driver.rent_machine(
        await driver.retry_lost_responses(lambda: user.make_order(pallet, provider=driver.provider))
    )
    await driver.renew_lease(timedelta(minutes=20), "trip-renew")
    user.harness.advance_clock(minutes=30)
    await driver.release_lease()


async def check_lost_calls(pallet: Pallet, fault: str, first: int, step: int) -> None:
    async with chain_harness(machines=2, boot="6") as harness:
        user = await harness.make_funded_user()
        clean = user.make_driver()
        await run_canonical_trip(user, clean, pallet)
        calls, expected = clean.faults.calls, set(await clean.sum_charges())
        assert 60 < calls < 250
        for number in range(first, calls + 1, step):
            await harness.advance(hours=2)
            user = await harness.make_funded_user()
            driver, before = user.make_driver(**{fault: number}), user.total_units
            await run_canonical_trip(user, driver, pallet)
            label = f"{fault} {number}: {clean.faults.sent[number - 1]}"
            own_lines = [
                line for line in harness.simulator.list_ledger_entries() if line.account == user.address
            ]
            assert driver.lost_response_count == 1 or "/api/v1" in label, label
            assert sum(line.kind == "fee" for line in own_lines) == 1, label
            assert set(await driver.sum_charges()) == expected, label
            assert before - user.total_units == await sum_spent(driver), label
            assert user.ledger_units == user.total_units, label
            assert list(harness.simulator.list_billed_machines()) == [], label
            assert harness.machines.alive_machines == {}, label


@pytest.mark.slow
@pytest.mark.parametrize(("number", "pallet", "fault"), [(n, *one) for n, one in enumerate(WAYS)], ids=IDS)
async def test_some_answers_may_be_lost_and_nothing_is_paid_twice(
    number: int, pallet: Pallet, fault: str
) -> None:
    """Lose every 31st call, starting at a different one in each test; the nightly run loses each of them."""
    await check_lost_calls(pallet, fault, 1 + number * CALL_STEP // len(WAYS), CALL_STEP)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("pallet", "fault"), WAYS, ids=IDS)
async def test_any_answer_may_be_lost_and_nothing_is_paid_twice(pallet: Pallet, fault: str) -> None:
    await check_lost_calls(pallet, fault, 1, 1)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.nightly
async def test_a_process_may_die_at_any_state_write(
    harness: ChainHarness, moment: Literal["before", "after"]
) -> None:
    """Only the state outlives the process: dying before or after any write must never pay twice."""
    for number in range(1, MAX_WRITES, 2):
        user = await harness.make_funded_user()
        driver, before = user.make_driver(), user.total_units
        await driver.reserve_lease(await user.make_order())
        bill = await driver.wait_for_bill()
        user.state.kill_at(number, moment)
        with contextlib.suppress(ProcessKilled):
            await user.wallet.pay_bill(bill)
        no_more = user.state.is_armed()
        user.state.kill_at(0)
        payment = await user.wallet.pay_bill(bill)
        assert payment == await user.wallet.pay_bill(bill)
        assert payment.amount.amount == before - user.total_units
        assert payment.amount <= bill.amount
        await harness.advance(hours=2)
        if no_more:
            return
    raise AssertionError("more notes than expected")


async def test_a_nonce_that_another_computer_took_first_is_replaced_at_once(
    harness: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await harness.make_funded_user()
    driver = user.make_driver()
    await driver.reserve_lease(await user.make_order())
    sent: list[bytes] = []

    def refuse_first(body: bytes) -> bool:
        sent.append(body)
        if len(sent) == 1:
            raise InvalidExtrinsic(1014, "Priority is too low", "")
        return True

    harness.intercept_submit(monkeypatch, refuse_first)
    started = harness.clock.now()
    await driver.pay_and_confirm()
    assert sent[0] != sent[1]
    assert harness.clock.now() - started < ERA_PERIOD * BLOCK_TIME


@pytest.mark.nightly
async def test_a_chain_that_stands_still_ends_the_wait_and_nothing_is_paid_twice(
    harness: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await harness.make_funded_user()
    driver = user.make_driver()
    await driver.reserve_lease(await user.make_order())
    bill = await driver.wait_for_bill()
    still = harness.chain.final_block
    monkeypatch.setattr(SimulatedChain, "final_block", still)
    with pytest.raises(UnavailableError, match="finalized no block for 15 minutes") as caught:
        await asyncio.wait_for(user.wallet.pay_bill(bill), 10)
    assert caught.value.spent is Spent.UNKNOWN
    monkeypatch.undo()
    # The time for the confirmation has passed meanwhile, so only the fee of the one order is lost.
    with pytest.raises(MoneyError, match="not confirmed"):
        await user.wallet.pay_bill(bill)
    assert [line.kind for line in harness.simulator.list_ledger_entries()].count("fee") == 1


@pytest.mark.nightly
async def test_bytes_that_never_arrived_are_signed_anew_only_when_their_era_is_over(
    harness: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await harness.make_funded_user()
    driver, before = user.make_driver(), user.total_units
    await driver.reserve_lease(await user.make_order())
    dropped: list[bytes] = []

    def drop_first_bodies(body: bytes) -> bool:
        dropped.append(body)
        return len(dropped) > 2

    harness.intercept_submit(monkeypatch, drop_first_bodies)
    started = harness.clock.now()
    await driver.pay_and_confirm()
    assert dropped[0] != dropped[1]
    assert harness.clock.now() - started > timedelta(seconds=6 * 128)
    assert sum(line.kind == "fee" for line in harness.simulator.list_ledger_entries()) == 1
    assert before - user.total_units == await sum_spent(driver)
    assert MAX_TRIES > 2
