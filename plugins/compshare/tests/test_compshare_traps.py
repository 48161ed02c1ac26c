"""What is easily got wrong with CompShare: the default of a month, the lock, what stays and bills."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from gpurent.api import (
    Absent,
    Known,
    Lease,
    LeaseState,
    Metered,
    Order,
    OrderKind,
    Prepaid,
    SoldOut,
    Spent,
    UsageError,
)
from gpurent.testing.fakes import HttpFaults
from plugins.compshare.tests.compshare_harness import PLACE, compshare_harness


async def test_an_order_never_buys_a_month() -> None:
    async with compshare_harness() as user:
        await user.rent()
        assert user.instance.charge_type == "Postpay"
        assert user.sum_bills(user.instance.id) == 0
        await user.pay(1000)
        month = await user.create(Name="month", ChargeType="")
        assert user.instance.charge_type == "Month", "what the service does without it"
        assert user.sum_bills(month) == 480 * 16_600


async def test_a_machine_that_others_bought_for_a_month_has_its_price_and_end() -> None:
    async with compshare_harness(1000) as user:
        await user.create(Name="month", ChargeType="Month")
        await user.advance(seconds=21)
        found = await user.provider.list_leases()
        assert isinstance(found, Known)
        (lease,) = found.items
        assert isinstance(lease.offer.tariff, Prepaid)
        assert lease.offer.tariff.price.per == timedelta(days=30)
        assert lease.offer.tariff.price.value == Decimal("796.8")
        assert lease.expires_at == user.instance.expires_at
        assert user.user.vault("compshare").get(lease.password_ref) is not None, "it can be adopted"


async def test_a_release_stops_waits_out_the_lock_and_deletes() -> None:
    async with compshare_harness(lock_minutes="10") as user:
        lease = await user.rent()
        seen = []
        for _attempt in range(60):
            lease = await user.release(lease)
            seen.append((lease.state, lease.note))
            if lease.is_over:
                break
            await user.advance(seconds=30)
        states = [state for state, _note in seen]
        assert states == [LeaseState.RELEASING] * (len(seen) - 1) + [LeaseState.RELEASED]
        assert len(seen) > 20, "10 minutes after the stop"
        assert any("earlier operation" in note for _state, note in seen)
        assert user.account.list_instances() == []


async def test_a_machine_that_others_lock_is_neither_stopped_nor_started() -> None:
    async with compshare_harness(lock_minutes="10") as user:
        lease = await user.rent()
        assert await user.act("RebootCompShareInstance", lease.ref) == 0
        await user.advance(seconds=20)
        again = await user.provider.stop_lease(lease)
        assert isinstance(again, Lease)
        assert again.state is LeaseState.READY, "it runs, and core asks again"
        await user.advance(minutes=10)
        stopped = await user.stop(lease)
        still = await user.provider.start_lease(stopped)
        assert isinstance(still, Lease)
        assert still.is_stopped


async def test_nothing_that_costs_money_stays_behind() -> None:
    async with compshare_harness() as user:
        data = {"Disks.1.IsBoot": "false", "Disks.1.Type": "CLOUD_SSD", "Disks.1.Size": "200"}
        await user.create(Name="data", **data)
        await user.advance(seconds=21)
        found = await user.provider.list_leases()
        assert isinstance(found, Known)
        (lease,) = found.items
        assert lease.offer.stopped_price is not None
        assert lease.offer.stopped_price.value == Decimal("0.1"), (
            "its data disk also costs while it is stopped"
        )
        await user.release_fully(lease)
        assert user.account.left_disks == []
        assert await user.simulator.list_discrepancies() == []


async def test_a_disk_that_is_left_is_billed_on_and_found_by_the_audit() -> None:
    async with compshare_harness() as user:
        made = await user.create(**{"Disks.1.IsBoot": "false", "Disks.1.Size": "200"})
        await user.advance(seconds=21)
        assert await user.act("TerminateCompShareInstance", made) != 0, "only a stopped one is deleted"
        assert await user.act("StopCompShareInstance", made) == 0
        await user.advance(seconds=10)
        assert await user.act("TerminateCompShareInstance", made) == 0
        await user.advance(days=1)
        assert user.sum_bills(f"bsm-{made.removeprefix('uhost-')}") == 24 * 1000
        assert len(await user.simulator.list_discrepancies()) == 1


async def test_a_stopped_machine_keeps_its_files_for_seven_days_until_noon() -> None:
    async with compshare_harness() as user:
        stopped = await user.stop(await user.rent())
        assert stopped.kept_until is not None
        local = stopped.kept_until + timedelta(hours=8)
        assert (local.hour, local.minute) == (12, 0)
        assert timedelta(days=7) <= stopped.kept_until - user.clock.now() < timedelta(days=8)
        assert str(stopped.kept_until.year) in stopped.note
        await user.advance(days=6)
        again = await user.provider.start_lease(await user.refresh(stopped))
        assert isinstance(again, Lease)
        assert (again.state, again.kept_until) == (LeaseState.PROVISIONING, None)
        await user.advance(seconds=11)
        last = await user.stop(await user.refresh(again))
        await user.advance(days=8)
        assert isinstance(await user.provider.refresh_lease(last), Absent)


async def test_more_than_100_gb_cost_money_also_while_stopped() -> None:
    async with compshare_harness() as user:
        (offer, *_others) = await user.list_offers(disk=300)
        assert isinstance(offer.tariff, Metered)
        assert offer.tariff.price.value == Decimal("1.76")
        lease = await user.rent(offer=offer, disk=300)
        stopped = await user.stop(lease)
        assert stopped.current_price.value == Decimal("0.1")
        before = user.account.balance
        await user.advance(hours=24)
        assert before - user.account.balance == 24 * 1000


async def test_a_start_without_stock_spends_nothing_and_says_so() -> None:
    async with compshare_harness() as user:
        stopped = await user.stop(await user.rent())
        user.state.take_stock("cn-wlcb-01", "4090")
        with pytest.raises(SoldOut) as refused:
            await user.provider.start_lease(stopped)
        assert refused.value.spent is Spent.NO
        assert (await user.refresh(stopped)).state is LeaseState.STOPPED


async def test_a_lost_create_is_found_by_its_name_and_not_repeated() -> None:
    async with compshare_harness() as user:
        offers = await user.list_offers()
        for nth in range(1, 12, 2):
            driver = user.make_driver()
            driver.start_process(HttpFaults(lose_response=nth))
            await driver.rent_machine(
                Order(key=f"k{nth}", kind=OrderKind.NEW, offer=offers[0], password_ref="p", gpus=1)
            )
            assert [instance.name for instance in user.account.list_instances()] == [f"k{nth}"]
            await driver.release_lease()


async def test_a_spot_machine_has_a_fixed_price_and_is_released_by_force() -> None:
    async with compshare_harness() as user:
        offers = await user.list_offers(spot=True)
        assert {offer.spot for offer in offers} == {True}
        assert offers[0].tariff.price.value == Decimal("1.162")
        with pytest.raises(UsageError):
            await user.list_offers(spot=True, bid=offers[0].tariff.price)
        lease = await user.rent(offer=offers[0])
        assert lease.offer.spot
        with pytest.raises(UsageError):
            await user.provider.stop_lease(lease)
        assert await user.act("StopCompShareInstance", lease.ref) != 0
        assert (await user.release_fully(lease)).state is LeaseState.RELEASED


async def test_a_spot_machine_that_is_taken_away_in_its_first_hour_is_free() -> None:
    async with compshare_harness() as user:
        lease = await user.rent(offer=(await user.list_offers(spot=True))[0])
        await user.advance(minutes=50)
        await user.state.reclaim(lease.ref)
        assert isinstance(await user.provider.refresh_lease(lease), Absent)
        assert user.sum_bills(lease.ref) == 0


async def test_the_services_own_timer_needs_notice_and_can_be_set_on_its_page() -> None:
    async with compshare_harness() as user:
        lease = await user.refresh(await user.rent())
        assert await user.provider.set_stop_time(lease, user.clock.now()) == user.instance.stops_at
        assert user.instance.stops_at is not None
        assert (await user.refresh(lease)).stops_at == user.instance.stops_at
        await user.send("DeleteCompShareStopScheduler", UHostId=lease.ref, **PLACE)
        assert (await user.refresh(lease)).stops_at is None
        soon = int((user.clock.now() + timedelta(seconds=200)).timestamp())
        timer = {"UHostId": lease.ref, "ProjectId": user.account.project, **PLACE}
        answer = await user.send("UpdateCompShareStopScheduler", SchedulerStopTime=str(soon), **timer)
        assert answer["RetCode"] != 0, "five minutes of notice"
        answer = await user.send("UpdateCompShareStopScheduler", SchedulerStopTime=str(soon + 400), **timer)
        assert answer["RetCode"] == 0
        await user.advance(minutes=12)
        assert (await user.refresh(lease)).state is LeaseState.STOPPED


async def test_a_failed_installation_is_billed_no_end_and_can_be_released() -> None:
    async with compshare_harness() as user:
        lease = await user.rent()
        await user.state.fail_install(lease.ref)
        seen = await user.refresh(lease)
        assert (seen.state, seen.is_over) == (LeaseState.INTERRUPTED, False)
        assert (await user.release_fully(seen)).state is LeaseState.RELEASED
