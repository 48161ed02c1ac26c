"""RunPod's own Python client (GraphQL only) and gpurent (REST v2) over one account: what they print must agree."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from attrs import frozen

from gpurent.api import Known, Lease, LeaseState, SoldOut
from gpurent.testing.lease_driver import make_public_key
from plugins.runpod.tests.runpod_harness import (
    NAME,
    SSH_AFTER,
    RunpodHarness,
    runpod_harness,
)
from tests.vendor_client import VendorClient, make_vendor_client

pytestmark = pytest.mark.vendor
# Some functions of the client in one process, which takes seconds to start: what each returns, or the error's text.
SCRIPT = """
import json, os, sys
import runpod
from runpod.api.graphql import run_graphql_query
runpod.api_key = os.environ["RUNPOD_API_KEY"]
calls = {name: getattr(runpod, name) for name in runpod.__all__} | {"query": run_graphql_query}
for name, arguments in json.loads(sys.stdin.read()):
    try:
        print(json.dumps({"value": calls[name](**arguments)}))
    except Exception as error:
        print(json.dumps({"error": str(error)}))
"""
A5000 = "NVIDIA RTX A5000"


@frozen
class Judge:
    """gpurent's user, and the vendor's client with the same account."""

    user: RunpodHarness
    client: VendorClient

    async def call(self, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        """Return what the client's functions return, each named with its arguments; an error as its text."""
        done = await self.client.run("python", "-c", SCRIPT, stdin=json.dumps(calls))
        assert done.returncode == 0, done.stderr
        found = [json.loads(line, parse_float=Decimal) for line in done.stdout.splitlines()]
        return [one.get("error", one.get("value")) for one in found]

    async def list_leases(self) -> dict[str, Lease]:
        found = await self.user.provider.list_leases()
        assert isinstance(found, Known)
        return {lease.ref: lease for lease in found.items}


@pytest.fixture
async def judge() -> AsyncIterator[Judge]:
    async with runpod_harness() as user:
        yield Judge(user, make_judge_client(user, user.api.account.api_key))


def make_judge_client(user: RunpodHarness, key: str) -> VendorClient:
    url = user.api.sandbox.simulators.urls[NAME]
    client = make_vendor_client(NAME, RUNPOD_API_BASE_URL=url, RUNPOD_API_KEY=key)
    (client.home / ".runpod").mkdir()
    (client.home / ".runpod" / "config.toml").write_text(f'[default]\napi_key = "{key}"\n')
    return client


async def test_offers_and_prices_are_those_of_the_client(judge: Judge) -> None:
    offers = await judge.user.list_offers()
    names = [offer.provider_data["gpu"] for offer in offers]
    listed, *rows = await judge.call(("get_gpus", {}), *(("get_gpu", {"gpu_id": name}) for name in names))
    assert {gpu["id"] for gpu in listed} == set(names)
    for offer, row in zip(offers, rows, strict=True):
        assert (row["displayName"], row["memoryInGb"]) == (offer.hardware.gpu, offer.hardware.gpu_memory)
        check_price(offer.tariff.price.value, row["securePrice"], 20 + offer.hardware.disk)


def check_price(shown: Decimal, compute: Decimal, gigabytes: int) -> None:
    """Check that a price is that of the GPU with its disks, at 0.10 USD for each GB and month."""
    assert abs(shown - compute - Decimal("0.10") * gigabytes / 720) < Decimal("1e-9")


async def test_a_pod_of_gpurent_is_seen_stopped_and_terminated_by_the_client(judge: Judge) -> None:
    lease = await judge.user.rent_running("trip-1")
    ((pod,), stopped) = await judge.call(("get_pods", {}), ("stop_pod", {"pod_id": lease.ref}))
    assert (pod["id"], pod["name"], pod["desiredStatus"]) == (lease.ref, "trip-1", "RUNNING")
    assert (pod["gpuCount"], pod["volumeInGb"]) == (1, lease.offer.hardware.disk)
    (port,) = pod["runtime"]["ports"]
    assert lease.endpoint is not None
    assert (port["ip"], port["publicPort"], port["privatePort"]) == (
        lease.endpoint.host,
        lease.endpoint.port,
        22,
    )
    assert any(judge.user.public_key in text for text in pod["env"])
    assert stopped == {"id": lease.ref, "desiredStatus": "EXITED"}
    kept = await judge.user.refresh(lease)
    assert kept.state is LeaseState.STOPPED
    started = await judge.user.provider.start_lease(kept)
    assert isinstance(started, Lease)
    printed = (await judge.client.run("runpod", "pod", "list")).stdout
    assert re.search(rf"{lease.ref} \| trip-1 \| RUNNING", printed), printed
    assert await judge.call(("terminate_pod", {"pod_id": lease.ref}), ("get_pods", {})) == [None, []]
    assert await judge.list_leases() == {}
    assert not (await judge.user.release(lease)).is_over, "one look is no proof"


async def test_a_pod_of_the_client_is_seen_stopped_and_released_by_gpurent(judge: Judge) -> None:
    judge.user.api.account.keys = [make_public_key("theirs")]
    wish = {
        "name": "theirs",
        "image_name": "runpod/stack",
        "gpu_type_id": A5000,
        "volume_in_gb": 40,
        "ports": "22/tcp",
    }
    (made,) = await judge.call(("create_pod", wish))
    await judge.user.api.sandbox.advance(SSH_AFTER)
    lease = (await judge.list_leases())[made["id"]]
    assert (lease.label, lease.state, lease.offer.hardware.gpu) == ("theirs", LeaseState.READY, A5000)
    running = await judge.user.provider.stop_lease(lease)
    assert isinstance(running, Lease)
    stopped, _resumed, pod = await judge.call(
        ("get_pod", {"pod_id": lease.ref}),
        ("resume_pod", {"pod_id": lease.ref, "gpu_count": 1}),
        ("get_pod", {"pod_id": lease.ref}),
    )
    assert (stopped["desiredStatus"], pod["desiredStatus"]) == ("EXITED", "RUNNING")
    check_price(
        lease.offer.tariff.price.value, pod["costPerHr"], pod["containerDiskInGb"] + pod["volumeInGb"]
    )
    assert (await judge.user.refresh(running)).state is LeaseState.PROVISIONING
    assert (await judge.user.release(lease)).is_over
    assert await judge.call(("get_pods", {}), ("get_pod", {"pod_id": lease.ref})) == [[], None]


async def test_balance_and_charges_are_one(judge: Judge) -> None:
    lease = await judge.user.rent_running()
    await judge.user.api.advance(hours=7)
    (answer,) = await judge.call(("query", {"query": "{ myself { clientBalance } }"}))
    balance = (await judge.user.billing.get_balance()).available
    assert answer["data"]["myself"]["clientBalance"] == balance.decimal
    charges = await judge.user.billing.list_charges(lease)
    assert isinstance(charges, Known)
    assert 10_000_000 - sum(charge.money.amount for charge in charges.items) == balance.amount


async def test_keys_of_both_are_in_one_set(judge: Judge) -> None:
    theirs = make_public_key("theirs")
    await judge.call(("update_user_settings", {"pubkey": theirs}))
    lease = await judge.user.rent()
    (during,) = await judge.call(("get_user", {}))
    assert during["pubKey"] == f"{theirs}\n\n{judge.user.public_key}"
    await judge.user.release(lease)
    (after,) = await judge.call(("get_user", {}))
    assert (after["id"], after["pubKey"]) == (judge.user.api.account.id, theirs)


async def test_refusals_are_told_alike(judge: Judge) -> None:
    lease = await judge.user.reserve()
    for host in judge.user.api.state.stock.hosts:
        judge.user.api.state.stock.let_others_rent(host)
    wish = {"name": "x", "image_name": "y", "gpu_type_id": lease.offer.provider_data["gpu"]}
    sold_out, unknown, gone = await judge.call(
        ("create_pod", wish),
        ("create_pod", {**wish, "gpu_type_id": "NVIDIA Nothing"}),
        ("terminate_pod", {"pod_id": "none"}),
    )
    assert sold_out.startswith("There are no longer any instances available")
    assert unknown.startswith("No GPU found with the specified ID")
    assert gone == "pod not found"
    sent = judge.user.mark_sent(lease)
    await judge.user.api.advance(minutes=2)
    with pytest.raises(SoldOut):
        await judge.user.confirm(sent)
    stranger = Judge(judge.user, make_judge_client(judge.user, "rpa_wrong"))
    assert await stranger.call(("get_pods", {})) == ["Unauthorized request, please check your API key."]
