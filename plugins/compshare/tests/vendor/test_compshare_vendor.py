"""CompShare's command line, and its parent's SDK, judge the simulator and what gpurent shows.

Neither has an option for another address: the command line gets it by a wrapper, the SDK in its configuration.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from attrs import define

from gpurent.api import Known, Lease, LeaseState, SoldOut
from gpurent_plugin_compshare import wire
from gpurent_plugin_compshare.simulator.service import IMAGE
from plugins.compshare.tests.compshare_harness import CompShareHarness, compshare_harness
from tests.vendor_client import VendorClient, make_vendor_client

pytestmark = pytest.mark.vendor
COMMAND_LINE = """
import os, sys
import compshare_cli.config as config
config.DEFAULT_BASE_URL = os.environ["SIMULATOR"]
from compshare_cli.cli import main
main(sys.argv[1:])
"""
SDK = """
import json, os, sys
from ucloud.client import Client
from ucloud.core import exc
service, action, request = sys.argv[1:]
keys = {"public_key": os.environ["COMPSHARE_PUBLIC_KEY"], "private_key": os.environ["COMPSHARE_PRIVATE_KEY"]}
client = Client({"region": "cn-wlcb", "base_url": os.environ["SIMULATOR"], **keys})
try:
    print(json.dumps(getattr(getattr(client, service)(), action)(json.loads(request))))
except exc.RetCodeException as error:
    print(json.dumps({"code": error.code, "message": error.message}))
"""
PLACE = ("--region", "cn-wlcb", "--zone", "cn-wlcb-01")
SIZE = ("--gpu", "4090", "--count", "1", "--cpu", "16", "--memory", "64GiB")


@define
class Both:
    """One account, seen by gpurent and by the clients."""

    ours: CompShareHarness
    client: VendorClient

    async def show(self, *arguments: str) -> Any:
        """Return what a command of the command line prints."""
        done = await self.client.run("python", "-c", COMMAND_LINE, "--json", *arguments)
        assert done.stdout, done.stderr
        return json.loads(done.stdout, parse_float=Decimal)

    async def ask(self, service: str, action: str, **request: Any) -> Any:
        """Return what the SDK returns."""
        done = await self.client.run("python", "-c", SDK, service, action, json.dumps(request))
        assert done.stdout, done.stderr
        return json.loads(done.stdout, parse_float=Decimal)

    async def list_theirs(self) -> list[dict[str, Any]]:
        answer = await self.show("instance", "list", "--all")
        assert answer["ok"], answer
        return list(answer["data"]["items"])

    async def list_ours(self) -> list[Lease]:
        found = await self.ours.provider.list_leases()
        assert isinstance(found, Known)
        return list(found.items)


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    async with compshare_harness() as ours:
        client = make_vendor_client(
            "compshare",
            SIMULATOR=ours.sandbox.simulators.urls["compshare"],
            COMPSHARE_PUBLIC_KEY=ours.account.public_key,
            COMPSHARE_PRIVATE_KEY=ours.account.private_key,
            COMPSHARE_INSIGHTS_URL="",
        )
        yield Both(ours, client)


async def test_both_see_the_same_sizes_in_stock_at_the_same_price(both: Both) -> None:
    searched = await both.show("instance", "search", "--image", IMAGE, *PLACE)
    in_stock = {
        (name, spec["Gpu"], spec["Cpu"], spec["Mem"])
        for name, specs in searched["data"]["Inventory"].items()
        for spec in specs
        if spec["ResourceEnough"] and spec["Gpu"] == 1
    }
    ours = [offer for offer in await both.ours.list_offers() if offer.location == "cn-wlcb-01"]
    sizes = [(offer.hardware, offer.hardware.gpu) for offer in ours]
    assert {(gpu, has.gpus, has.cpus, has.memory) for has, gpu in sizes} == in_stock
    priced = await both.show("instance", "price", *SIZE, "--charge", "Postpay", "--disk", "100GiB", *PLACE)
    (row,) = priced["data"]["items"] if "items" in priced["data"] else priced["data"]["PriceDetails"]
    offer = next(offer for offer in ours if offer.hardware.gpu == "4090")
    assert row["Instance"] + row.get("SystemDisks", 0) == offer.tariff.price.value


async def test_a_machine_of_ours_is_seen_by_theirs_and_released_by_them(both: Both) -> None:
    lease = await both.ours.rent("from-us")
    (row,) = await both.list_theirs()
    assert (row["UHostId"], row["Name"], row["State"]) == (lease.ref, "from-us", "Running")
    assert (row["ChargeType"], row["GPU"], row["GpuType"]) == ("Postpay", 1, "4090")
    shown = await both.ask("ucompshare", "describe_comp_share_instance", UHostIds=[lease.ref])
    (typed,) = shown["UHostSet"]
    assert (
        typed["SshLoginCommand"] == f"ssh -p {lease.endpoint.port} root@127.0.0.1" if lease.endpoint else ""
    )
    refused = await both.show("instance", "delete", lease.ref, "--yes", "--no-wait")
    assert not refused["ok"], "it runs"
    assert (await both.show("instance", "stop", lease.ref, "--yes", "--no-wait"))["ok"]
    await both.ours.advance(seconds=10)
    stopped = await both.ours.refresh(lease)
    assert stopped.state is LeaseState.STOPPED
    done = await both.show("instance", "delete", lease.ref, "--release-disk", "--yes", "--no-wait")
    assert done["ok"], done
    assert await both.list_theirs() == [] == await both.list_ours()


async def test_a_machine_of_theirs_is_seen_by_us_and_released_by_us(both: Both) -> None:
    answer = await both.show(
        *("instance", "create", *SIZE, "--image", IMAGE, *PLACE, "--name", "from-them", "--yes", "--no-wait")
    )
    assert answer["ok"], answer
    await both.ours.advance(seconds=21)
    (lease,) = await both.list_ours()
    assert (lease.label, lease.state) == ("from-them", LeaseState.READY)
    assert [row["UHostId"] for row in await both.list_theirs()] == [lease.ref]
    stopped = await both.ours.stop(lease)
    assert [row["State"] for row in await both.list_theirs()] == ["Stopped"]
    await both.ours.provider.start_lease(stopped)
    await both.ours.advance(seconds=11)
    assert [row["State"] for row in await both.list_theirs()] == ["Running"]
    await both.ours.release_fully(lease)
    assert await both.list_theirs() == []


async def test_balance_and_charges_agree(both: Both) -> None:
    lease = await both.ours.rent()
    await both.ours.advance(hours=3, minutes=20)
    ended = await both.ours.release_fully(lease)
    found = await both.ours.billing.list_charges(ended)
    assert isinstance(found, Known)
    cycle = f"{both.ours.clock.now():%Y-%m}"
    bills = await both.ask("ubill", "list_u_bill_detail", BillingCycle=cycle, ResourceIds=[lease.ref])
    theirs = {item["OrderNo"]: wire.CNY.money(Decimal(item["AmountReal"])) for item in bills["Items"]}
    assert theirs == {charge.ref: charge.money for charge in found.items}
    balance = (await both.ask("ubill", "get_balance"))["AccountInfo"]
    available = (await both.ours.billing.get_balance()).available
    assert wire.CNY.money(Decimal(balance["AmountAvailable"])) == available
    assert available + wire.CNY.money(sum(money.decimal for money in theirs.values())) == wire.CNY.money(100)


async def test_both_are_refused_what_is_sold_out(both: Both) -> None:
    offer = (await both.ours.list_offers())[0]
    both.ours.state.take_stock("cn-wlcb-01", "4090")
    with pytest.raises(SoldOut):
        await both.ours.rent(offer=offer)
    create: dict[str, Any] = {
        "CompShareImageId": IMAGE,
        "GpuType": "4090",
        "GPU": 1,
        "CPU": 16,
        "Memory": 65536,
    }
    disks = [{"IsBoot": True, "Type": "CLOUD_SSD", "Size": 100}]
    answer = await both.ask(
        *("ucompshare", "create_comp_share_instance"),
        **{**create, "Zone": "cn-wlcb-01", "MachineType": "G", "Disks": disks, "ChargeType": "Postpay"},
    )
    assert answer["code"] == 226604
    answer = await both.show(
        *("instance", "create", *SIZE, "--image", IMAGE, *PLACE, "--name", "x", "--yes", "--no-wait")
    )
    assert not answer["ok"]
    assert "inventory" in answer["error"]["message"].lower() or "库存" in answer["error"]["message"]


async def test_refund_quote_and_cardless_start_of_theirs(both: Both) -> None:
    lease = await both.ours.rent()
    refund = await both.show("instance", "refund", lease.ref)
    assert refund["ok"], refund
    stopped = await both.ours.stop(lease)
    started = await both.show("instance", "start", stopped.ref, "--without-gpu", "A", "--no-wait")
    assert started["ok"], started
    await both.ours.advance(seconds=11)
    (row,) = await both.list_theirs()
    assert (row["State"], row["GPU"]) == ("Running", 0)
    (seen,) = await both.list_ours()
    assert (seen.state, seen.offer.hardware.gpus) == (LeaseState.READY, 0)
    assert seen.offer.tariff.price.value == Decimal("0.15")


async def test_wrong_keys_are_refused_in_both(both: Both) -> None:
    both.ours.account.private_key = "changed"
    answer = await both.show("instance", "list")
    assert not answer["ok"]
    assert "171" in json.dumps(answer["error"], default=str)
