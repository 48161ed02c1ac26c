"""What is easily got wrong with CompShare: the default of a month, the lock, what stays and bills."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from gpurent.api import (
    Absent,
    Known,
    Lease,
    LeaseError,
    LeaseState,
    Metered,
    MoneyError,
    Order,
    OrderKind,
    Prepaid,
    SoldOut,
    Spent,
    UnexpectedResponse,
    UsageError,
)
from gpurent.testing.fakes import HttpFaults
from gpurent_plugin_compshare import client, wire
from plugins.compshare.tests.compshare_harness import CREATE, DISK, PLACE, RUNNING_AFTER, compshare_harness


def test_the_signature_is_that_of_the_vendors_own_example() -> None:
    assert client.sign({"foo": "bar"}, "my_private_key") == "634edc1bb957c0d65e5ab5494cf3b7784fbc87af"
    signed = client.sign({"foo": "bar", "PublicKey": "my_public_key"}, "my_private_key")
    assert signed == "d4411ab30953fb0bbcb1e7313081f05e4e91a394"


def test_lists_and_flags_are_flattened() -> None:
    fields = {"A": ["x", "y"], "Disks": [{"IsBoot": True, "Size": 100}], "None": None, "Off": False}
    assert client.flatten(fields) == {
        "A.0": "x",
        "A.1": "y",
        "Disks.0.IsBoot": "true",
        "Disks.0.Size": "100",
        "Off": "false",
    }


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


async def test_stock_that_goes_between_the_check_and_the_create_is_sold_out() -> None:
    async with compshare_harness() as user:
        offer = (await user.list_offers())[0]
        user.state.take_stock("cn-wlcb-01", "4090")
        assert offer.key not in [other.key for other in await user.list_offers()]
        with pytest.raises(SoldOut) as refused:
            await user.rent(offer=offer)
        assert refused.value.spent is Spent.NO


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


@pytest.mark.parametrize(("level", "real_name", "text"), [("2", "no", "real name"), ("0", "yes", "quota")])
async def test_named_refusals_of_a_create(level: str, real_name: str, text: str) -> None:
    async with compshare_harness(level=level, real_name=real_name) as user:
        if level == "0":
            await user.create()
        with pytest.raises(LeaseError, match=text):
            await user.rent()


async def test_owing_money_or_an_unpaid_order_rents_nothing() -> None:
    async with compshare_harness(0) as user:
        with pytest.raises(MoneyError) as refused:
            await user.rent()
        assert refused.value.spent is Spent.NO
        await user.pay(10)
        user.account.has_unpaid_order = True
        with pytest.raises(LeaseError, match="unpaid"):
            await user.rent("other")


async def test_an_image_that_does_not_fit_hides_a_gpu_and_not_the_rest() -> None:
    async with compshare_harness(plugin={"image": "PyTorch 1.13"}) as user:
        assert {offer.hardware.gpu for offer in await user.list_offers()} == {"4090", "3090"}
        assert {offer.hardware.gpu for offer in await user.list_offers(image="compshareImage-pytorch26")} == {
            "4090",
            "3090",
            "5090",
        }
        assert await user.list_offers(image="no such image") == []
        lease = await user.rent()
        assert user.instance.wish.image.id == "compshareImage-pytorch113"
        assert lease.endpoint is not None
        assert lease.endpoint.user == "root"


async def test_a_system_image_has_another_user() -> None:
    async with compshare_harness() as user:
        lease = await user.rent(image="compshareImage-ubuntu2204")
        assert lease.endpoint is not None
        assert lease.endpoint.user == "ubuntu"


async def test_offers_have_as_many_gpus_as_are_wanted_and_the_price_with_either_name() -> None:
    for name in ("PriceDetails", "PriceDetail"):
        async with compshare_harness(machines=12, price_field=name, discount="1") as user:
            offers = await user.list_offers(gpus=3)
            assert [(offer.hardware.gpu, offer.hardware.gpus) for offer in offers] == [
                ("4090", 4),
                ("5090", 4),
            ]
            assert offers[0].tariff.price.value == Decimal("6.64")
            assert "night" in offers[0].note
            assert offers[0].key == "cn-wlcb-01:4090:4:64:256"
            assert await user.list_offers(cpu_only=True) == []


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


async def test_the_services_own_timer_is_set_once_and_shuts_the_machine_down() -> None:
    async with compshare_harness(plugin={"stop_after_hours": "5"}) as user:
        lease = await user.refresh(await user.rent())
        assert user.instance.stops_at is not None
        left = user.instance.stops_at - user.clock.now()
        assert timedelta(hours=4, minutes=59) < left <= timedelta(hours=5)
        assert "shuts it down" in lease.note
        await user.send("DeleteCompShareStopScheduler", UHostId=lease.ref, **PLACE)
        lease = await user.refresh(lease)
        assert "StopSchedulerTime" not in lease.note
        assert not (await user.show(lease.ref))["StopSchedulerTime"], "whoever deletes it means it"
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


async def test_a_long_list_has_pages_and_an_empty_one_is_null() -> None:
    async with compshare_harness(10_000, machines=400, level="4", boot_seconds="100000") as user:
        assert (await user.send("DescribeCompShareInstance"))["UHostSet"] is None
        assert await user.provider.list_leases() == Known(())
        for number in range(100):
            await user.create(Name=f"m{number}")
        user.state.create_instance(user.account, user.instance.wish)
        assert len(user.account.instances) == 101, "more than a page has"
        assert await user.provider.find_machine("m98") == user.account.instances[98].id
        found = await user.provider.list_leases()
        assert isinstance(found, Known)
        assert len({lease.ref for lease in found.items}) == 101


def make_reply(**body: Any) -> client.CompShareReply:
    return client.CompShareReply(
        service="CompShare", status=200, url="https://x/", body={"RetCode": 0, **body}
    )


async def test_states_and_rows_that_are_not_known() -> None:
    async with compshare_harness() as user:
        lease = await user.rent()
        row = await user.show(lease.ref)
        for state in ("", "Initializing", "Install", "Resizing"):
            seen = wire.apply_instance(lease, wire.parse_instance(make_reply(), {**row, "State": state}))
            assert (seen.state, seen.endpoint) == (LeaseState.PROVISIONING, None)
        for missing in ("SshLoginCommand", "Password"):
            bare = wire.parse_instance(make_reply(), {**row, missing: None})
            assert wire.apply_instance(lease, bare).state is LeaseState.PROVISIONING
        with pytest.raises(UnexpectedResponse, match="Dreaming"):
            wire.apply_instance(lease, wire.parse_instance(make_reply(), {**row, "State": "Dreaming"}))
        for name, value in (
            ("Password", "%"),
            ("SshLoginCommand", "ssh -o x"),
            ("UHostId", ""),
            ("GPU", "x"),
        ):
            with pytest.raises(UnexpectedResponse):
                wire.parse_instance(make_reply(), {**row, name: value})
        moved = wire.parse_instance(make_reply(), {**row, "Region": None})
        assert moved.offer.provider_data["Region"] == "cn-wlcb"


def test_an_error_shows_no_password() -> None:
    reply = make_reply(UHostSet=[{"UHostId": "u", "Password": "c2VjcmV0"}], x_Password="c2VjcmV0")
    assert "c2VjcmV0" not in reply.make_unexpected_response("odd").detail


async def test_keys_are_checked_and_an_unknown_action_is_refused() -> None:
    async with compshare_harness() as user:
        assert (await user.post({"Action": "GetBalance"}))["RetCode"] == 170
        form = {"Action": "GetBalance", "PublicKey": user.account.public_key, "Signature": "0" * 40}
        assert (await user.post(form))["RetCode"] == 171
        assert (await user.post({**form, "PublicKey": "nobody"}))["RetCode"] == 172
        assert (await user.send("DescribeEverything"))["RetCode"] == 161
        for name in ("GpuType", "Memory", "CompShareImageId"):
            assert (await user.send("CreateCompShareInstance", **{**CREATE, name: ""}))["RetCode"] == 220
        assert (await user.send("CreateCompShareInstance", **{**CREATE, "Memory": "1024"}))["RetCode"] == 230
        odd = {**CREATE, **dict.fromkeys(DISK, "")}
        assert (await user.send("CreateCompShareInstance", **odd))["RetCode"] == 230
        await user.sandbox.advance(RUNNING_AFTER)
        assert user.account.instances == []
