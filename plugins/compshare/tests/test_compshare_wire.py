"""Signatures, lists, offers, refusals, and answers of CompShare that are not understood."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gpurent.api import (
    Known,
    LeaseError,
    LeaseState,
    MoneyError,
    SoldOut,
    Spent,
    UnexpectedResponse,
)
from gpurent_plugin_compshare import client, wire
from plugins.compshare.tests.compshare_harness import CREATE, DISK, RUNNING_AFTER, compshare_harness


def test_the_signature_is_that_of_the_vendors_own_example() -> None:
    assert client.sign({"foo": "bar"}, "my_private_key") == "634edc1bb957c0d65e5ab5494cf3b7784fbc87af"
    signed = client.sign({"foo": "bar", "PublicKey": "my_public_key"}, "my_private_key")
    assert signed == "d4411ab30953fb0bbcb1e7313081f05e4e91a394"


async def test_stock_that_goes_between_the_check_and_the_create_is_sold_out() -> None:
    async with compshare_harness() as user:
        offer = (await user.list_offers())[0]
        user.state.take_stock("cn-wlcb-01", "4090")
        assert offer.key not in [other.key for other in await user.list_offers()]
        with pytest.raises(SoldOut) as refused:
            await user.rent(offer=offer)
        assert refused.value.spent is Spent.NO


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
            seen = wire.parse_instance(make_reply(), {**row, "State": state}).lease
            assert (seen.state, seen.endpoint) == (LeaseState.PROVISIONING, None)
        for missing in ("SshLoginCommand", "Password"):
            bare = wire.parse_instance(make_reply(), {**row, missing: None})
            assert bare.lease.state is LeaseState.PROVISIONING
        with pytest.raises(UnexpectedResponse, match="Dreaming"):
            wire.parse_instance(make_reply(), {**row, "State": "Dreaming"})
        for name, value in (
            ("Password", "%"),
            ("SshLoginCommand", "ssh -o x"),
            ("UHostId", ""),
            ("GPU", "x"),
        ):
            with pytest.raises(UnexpectedResponse):
                wire.parse_instance(make_reply(), {**row, name: value})
        moved = wire.parse_instance(make_reply(), {**row, "Region": None})
        assert moved.lease.offer.provider_data["Region"] == "cn-wlcb"


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
