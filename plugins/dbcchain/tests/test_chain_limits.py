"""What is refused before anything is signed: invalid orders, spending that is not allowed, ceilings."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import Bill, LeaseError, MoneyError, Spent, UsageError
from gpurent_plugin_dbcchain.chain_pins import is_local_url
from gpurent_plugin_dbcchain.extrinsic import TERMINATING_PALLET
from plugins.dbcchain.tests.chain_harness import (
    HOUR,
    REAL_NODE,
    ChainHarness,
    ChainUser,
    chain_harness,
    dbc_units,
)
from plugins.dbcchain.tests.test_chain_trip import make_bill


async def test_invalid_orders_are_refused_before_signing(harness: ChainHarness) -> None:
    user = await harness.make_funded_user(money="20")
    with pytest.raises(LeaseError, match="60 days"):
        await user.provider.reserve_lease(await user.make_order(term=timedelta(days=61)))
    with pytest.raises(MoneyError, match="the wallet holds 20 DBC"):
        await user.wallet.pay_bill(await make_bill(user))
    rich = await harness.make_funded_user(money="1000000")
    driver = rich.make_driver()
    await driver.rent_machine(await rich.make_order())
    with pytest.raises(LeaseError, match="60 days from now"):
        await driver.renew_lease(timedelta(days=60), "trip-renew")
    nobody = await harness.make_funded_user(client_url="")
    with pytest.raises(UsageError, match="no client node"):
        await nobody.provider.reserve_lease(await nobody.make_order())


# the settings that allow real spending


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "not enabled"),
        ({"allow_spending": "yes"}, "not enabled"),
        ({"max_total_spending": "500DBC"}, "not enabled"),
        ({"allow_spending": "no", "max_total_spending": "500DBC"}, "not enabled"),
        ({"allow_spending": "yes", "max_total_spending": "115DBC"}, "exceed the ceiling of 115 DBC"),
    ],
)
async def test_the_real_chain_is_not_paid_without_both_settings(
    harness: ChainHarness, settings: dict[str, str], message: str
) -> None:
    user = await harness.make_funded_user(url=REAL_NODE, **settings)
    bill = await make_bill(user)
    with pytest.raises(MoneyError, match=message) as caught:
        await user.wallet.pay_bill(bill)
    assert "[dbc-chain]" in caught.value.hint
    assert caught.value.spent is Spent.NO
    assert harness.chain.pool == []
    assert user.total_units == dbc_units("5000")


async def test_the_ceiling_counts_all_orders_together(harness: ChainHarness) -> None:
    user = await harness.make_funded_user(url=REAL_NODE, allow_spending="yes", max_total_spending="200 DBC")
    driver = user.make_driver()
    await driver.rent_machine(await user.make_order())
    with pytest.raises(MoneyError, match="exceed the ceiling of 200 DBC"):
        await driver.renew_lease(HOUR, "trip-renew")


async def make_second_bill(user: ChainUser) -> Bill:
    """Return the bill of another order, for another machine."""
    driver = user.make_driver()
    await driver.reserve_lease(evolve(await user.make_order(TERMINATING_PALLET), key="trip-second"))
    return await driver.wait_for_bill()


async def test_payments_at_once_share_the_ceiling(harness: ChainHarness) -> None:
    user = await harness.make_funded_user(url=REAL_NODE, allow_spending="yes", max_total_spending="200 DBC")
    bills = [await make_bill(user), await make_second_bill(user)]
    paid = await asyncio.gather(*(user.wallet.pay_bill(bill) for bill in bills), return_exceptions=True)
    refused = [error for error in paid if isinstance(error, MoneyError)]
    assert [error.spent for error in refused] == [Spent.NO]
    assert "exceed the ceiling of 200 DBC" in refused[0].message
    assert user.ledger_units == user.total_units


async def test_an_abandoned_order_gives_back_its_share_of_the_ceiling() -> None:
    async with chain_harness(stuck="yes") as harness:
        user = await harness.make_funded_user(
            url=REAL_NODE, allow_spending="yes", max_total_spending="140 DBC"
        )
        for bill in (await make_bill(user), await make_second_bill(user)):
            with pytest.raises(MoneyError, match="did not start in time"):
                await user.wallet.pay_bill(bill)


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://127.0.0.1:9933", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("https://httpinfo1.dbcwallet.io", False),
        ("https://localhost.example", False),
        ("https://127.0.0.1.example", False),
        ("", False),
    ],
)
def test_what_is_on_this_computer(url: str, is_local: bool) -> None:
    assert is_local_url(url) is is_local
