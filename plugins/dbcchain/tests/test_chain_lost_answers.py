"""Any answer may be lost and any process may die: nothing is paid twice, nothing is forgotten."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Literal

import pytest

from gpurent.testing.fakes import ProcessKilled
from gpurent_plugin_dbcchain.extrinsic import RENT, TERMINATING, Pallet
from gpurent_plugin_dbcchain.sender import TRIES
from plugins.dbcchain.tests.chain_harness import ChainHarness, ChainUser, Driver, chain_harness, spent

WAYS = [(pallet, way) for pallet in (RENT, TERMINATING) for way in ("lose_answer", "lose_request")]
IDS = [f"{pallet.rpc}-{way}" for pallet, way in WAYS]
SHARE = 31
MOST_NOTES = 40


async def canonical(user: ChainUser, driver: Driver, pallet: Pallet) -> None:
    """Rent an hour, twenty minutes more, give back after half of it."""
    await driver.rent(await driver.until_answered(lambda: user.order(pallet, shop=driver.provider)))
    await driver.extend(timedelta(minutes=20), "trip-renew")
    user.harness.turn(minutes=30)
    await driver.release()


async def any_call_lost(pallet: Pallet, way: str, first: int, step: int) -> None:
    async with chain_harness(machines=2, boot="6") as harness:
        user = await harness.funded_user()
        clean = user.driver()
        await canonical(user, clean, pallet)
        calls, expected = clean.faults.calls, set(await clean.charges())
        assert 60 < calls < 250
        for number in range(first, calls + 1, step):
            await harness.later(hours=2)
            user = await harness.funded_user()
            driver, before = user.driver(**{way: number}), user.total
            await canonical(user, driver, pallet)
            what = f"{way} {number}: {clean.faults.sent[number - 1]}"
            mine = [line for line in harness.simulator.ledger() if line.account == user.address]
            assert driver.restarts == 1 or "/api/v1" in what, what
            assert sum(line.kind == "fee" for line in mine) == 1, what
            assert set(await driver.charges()) == expected, what
            assert before - user.total == await spent(driver), what
            assert user.booked == user.total, what
            assert list(harness.simulator.burning()) == [], what
            assert harness.machines.alive == {}, what


@pytest.mark.slow
@pytest.mark.parametrize(("number", "pallet", "way"), [(n, *one) for n, one in enumerate(WAYS)], ids=IDS)
async def test_some_answers_may_be_lost_and_nothing_is_paid_twice(
    number: int, pallet: Pallet, way: str
) -> None:
    """Every 31st call, from another one on in each run; the nightly run has them all."""
    await any_call_lost(pallet, way, 1 + number * SHARE // len(WAYS), SHARE)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("pallet", "way"), WAYS, ids=IDS)
async def test_any_answer_may_be_lost_and_nothing_is_paid_twice(pallet: Pallet, way: str) -> None:
    await any_call_lost(pallet, way, 1, 1)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_process_may_die_at_any_note(
    harness: ChainHarness, moment: Literal["before", "after"]
) -> None:
    """The notes are what outlives it: dying before or after each of them never pays twice."""
    for number in range(1, MOST_NOTES, 2):
        user = await harness.funded_user()
        driver, before = user.driver(), user.total
        await driver.reserve(await user.order())
        bill = await driver.bill()
        user.notes.kill_at(number, moment)
        with contextlib.suppress(ProcessKilled):
            await user.wallet.pay(bill)
        no_more = user.notes.armed()
        user.notes.kill_at(0)
        payment = await user.wallet.pay(bill)
        assert payment == await user.wallet.pay(bill)
        assert payment.amount.amount == before - user.total
        assert payment.amount <= bill.amount
        await harness.later(hours=2)
        if no_more:
            return
    raise AssertionError("more notes than expected")


async def test_bytes_that_never_arrived_are_signed_anew_only_when_their_era_is_over(
    harness: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await harness.funded_user()
    driver, before = user.driver(), user.total
    await driver.reserve(await user.order())
    swallowed: list[bytes] = []

    def swallow(body: bytes) -> bool:
        swallowed.append(body)
        return len(swallowed) > 2

    harness.intercept(monkeypatch, swallow)
    begun = harness.clock.now()
    await driver.settle()
    assert swallowed[0] != swallowed[1]
    assert harness.clock.now() - begun > timedelta(seconds=6 * 128)
    assert sum(line.kind == "fee" for line in harness.simulator.ledger()) == 1
    assert before - user.total == await spent(driver)
    assert TRIES > 2
