"""The balance of CompShare: settled by the hour, in hundredths of a fen; coupons, refunds, arrears."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from gpurent.api import ChargeKind, Known, Lease, MoneyError, Unknown
from gpurent_plugin_compshare import wire
from plugins.compshare.tests.compshare_harness import PLACE, CompShareHarness, compshare_harness


async def read_charges(user: CompShareHarness, lease: Lease) -> list[tuple[ChargeKind, int]]:
    found = await user.billing.list_charges(lease)
    assert isinstance(found, Known)
    return [(charge.kind, charge.money.amount) for charge in found.items]


def check_books(user: CompShareHarness) -> None:
    ledger = sum(entry.amount.amount for entry in user.simulator.list_ledger_entries())
    assert ledger == user.account.balance


async def test_a_run_is_settled_by_the_hour_and_at_its_end_to_the_second() -> None:
    async with compshare_harness() as user:
        lease = await user.rent()
        assert isinstance(await user.billing.list_charges(lease), Unknown), "nothing is settled yet"
        started = user.instance.meter.since
        assert started is not None
        await user.sandbox.advance(started + timedelta(hours=2, minutes=30) - user.clock.now())
        assert await read_charges(user, lease) == [(ChargeKind.USAGE, 16_600)] * 2
        assert (await user.billing.get_balance()).available == wire.CNY.money("96.68")
        ended = await user.release_fully(lease)
        charges = await read_charges(user, ended)
        seconds = 30 * 60 + 8
        assert charges[-1] == (ChargeKind.USAGE, round(Decimal(16_600 * seconds) / 3600))
        assert sum(amount for _kind, amount in charges) == user.sum_bills(lease.ref)
        check_books(user)


async def test_charges_that_are_a_day_late_are_not_known_to_be_complete() -> None:
    async with compshare_harness(bill_delay_hours="24") as user:
        lease = await user.rent()
        await user.advance(hours=20)
        ended = await user.release_fully(lease)
        assert isinstance(await user.billing.list_charges(ended), Unknown), "none is listed"
        await user.advance(hours=15)
        assert isinstance(await user.billing.list_charges(ended), Unknown), "the last ones are missing"
        await user.advance(hours=10)
        assert sum(amount for _kind, amount in await read_charges(user, ended)) == user.sum_bills(lease.ref)


async def test_charges_of_two_months_are_listed() -> None:
    async with compshare_harness(10_000) as user:
        lease = await user.rent()
        await user.advance(days=33)
        await user.sandbox.simulators.tick()
        charges = await read_charges(user, lease)
        assert len(charges) == 33 * 24
        assert sum(amount for _kind, amount in charges) == 33 * 24 * 16_600


async def test_what_a_coupon_paid_did_not_leave_the_balance() -> None:
    async with compshare_harness() as user:
        user.account.coupon = 20_000
        lease = await user.rent()
        await user.advance(hours=3)
        assert await read_charges(user, lease) == [(ChargeKind.USAGE, 13_200), (ChargeKind.USAGE, 16_600)]
        check_books(user)


async def test_a_refund_is_what_was_quoted() -> None:
    async with compshare_harness(1000) as user:
        made = await user.create(ChargeType="Day", Quantity="2")
        await user.advance(hours=12)
        answer = await user.send("GetCompShareRefundPrice", **PLACE, **{"UHostIds.0": made})
        (quote,) = answer["RefundPriceSet"]
        assert quote["Code"] == 0
        paid = 2 * 20 * 16_600
        assert quote["RefundPrice"] * 10_000 == paid - paid * 125 // 400, "a quarter of the time, times 1.25"
        found = await user.provider.list_leases()
        assert isinstance(found, Known)
        (lease,) = found.items
        assert await user.provider.quote_refund(lease) == wire.CNY.money(quote["RefundPrice"])
        await user.act("StopCompShareInstance", made)
        await user.advance(seconds=10)
        again = await user.send("GetCompShareRefundPrice", **PLACE, **{"UHostIds.0": made})
        ended = await user.release_fully(lease)
        returned = int(again["RefundPriceSet"][0]["RefundPrice"] * 10_000)
        assert await read_charges(user, ended) == [(ChargeKind.USAGE, paid), (ChargeKind.REFUND, returned)]
        check_books(user)
        assert await user.simulator.list_discrepancies() == []


async def test_whoever_owes_money_is_warned_stopped_and_deleted_by_day() -> None:
    async with compshare_harness(2) as user:
        lease = await user.rent()
        await user.advance(hours=2, minutes=1)
        balance = await user.billing.get_balance()
        assert balance.available.amount < 0
        advice = await user.billing.suggest_top_up()
        assert advice is not None
        assert advice.money == -balance.available
        since = user.account.owing_since
        assert since is not None
        await user.sandbox.advance(since + timedelta(minutes=61) - user.clock.now())
        stopped = await user.refresh(lease)
        assert stopped.is_stopped
        with pytest.raises(MoneyError):
            await user.rent("other")
        due = user.account.find_arrears_step()
        assert due is not None
        assert 10 <= (due + timedelta(hours=8)).hour < 19
        assert due >= since + timedelta(hours=12)
        await user.sandbox.advance(due - user.clock.now())
        assert user.account.list_instances() == []


async def test_money_in_time_keeps_the_machine() -> None:
    async with compshare_harness(2) as user:
        lease = await user.rent()
        await user.advance(hours=2, minutes=5)
        await user.pay(50)
        await user.advance(hours=3)
        assert (await user.refresh(lease)).endpoint is not None
        assert await user.billing.suggest_top_up() is None


async def test_the_page_of_the_top_up_has_account_and_amount() -> None:
    async with compshare_harness(0) as user:
        shown = await user.billing.create_top_up(wire.CNY.money("12.5"))
        assert shown.url.endswith(f"/{user.account.project}/12.5")
        for path, status in ((f"{user.account.project}/0.5", 400), ("nobody/5", 404)):
            assert (await user.client.get(f"/sandbox/pay/{path}")).status_code == status
        assert "12.5" in (await user.client.get(shown.url)).text
        with pytest.raises(MoneyError):
            await user.billing.create_top_up(wire.CNY.zero)


async def test_billing_can_be_changed_to_a_term() -> None:
    async with compshare_harness(1000) as user:
        lease = await user.rent()
        assert await user.act("SwitchChargeType", lease.ref, DestChargeType="Day") == 0
        seen = await user.refresh(lease)
        assert seen.expires_at == user.instance.expires_at
        settled = user.sum_bills(lease.ref) - 20 * 16_600
        assert 0 < settled < 100, "the seconds until then"
        await user.advance(hours=5)
        assert user.sum_bills(lease.ref) == 20 * 16_600 + settled
