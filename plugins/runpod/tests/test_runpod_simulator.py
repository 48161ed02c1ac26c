"""The simulator of RunPod over HTTP: its REST API v2."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from gpurent.api import Endpoint
from gpurent.testing.lease_driver import make_public_key
from plugins.runpod.tests.runpod_harness import GPU, SSH_AFTER, RunpodApi, runpod_api

CPU = {"id": "cpu5c", "vcpuCount": 4}
AVAILABLE = {"include": "AVAILABILITY", "product": "POD"}
KEPT = {"persistent": {"size": 20, "path": "/workspace"}}


@pytest.fixture
async def api() -> AsyncIterator[RunpodApi]:
    async with runpod_api() as made:
        yield made


# the catalog


async def test_the_catalog_tells_stock_by_data_center(api: RunpodApi) -> None:
    rows = {row["id"]: row for row in (await api.get("/v2/catalog/gpus", **AVAILABLE)).data["gpus"]}
    row = rows[GPU]
    assert (row["availability"], row["price"]["secure"], row["maxCount"]["secure"]) == (
        "LOW",
        Decimal("0.69"),
        8,
    )
    assert row["dataCenters"] == [
        {"id": "US-TX-3", "name": "US Texas 3", "availability": "LOW"},
        {"id": "EUR-IS-2", "name": "EUR Iceland 2", "availability": "NONE"},
    ]
    assert row["cudaVersions"] == [
        {"version": "12.8", "available": True},
        {"version": "12.4", "available": True},
    ]
    plain = (await api.get("/v2/catalog/gpus")).data["gpus"][0]
    assert not plain.keys() & {"availability", "dataCenters", "cudaVersions"}
    two = {row["id"]: row for row in (await api.get("/v2/catalog/gpus", **AVAILABLE, count="2")).data["gpus"]}
    assert [name for name, row in two.items() if row["availability"] != "NONE"] == ["NVIDIA A100-SXM4-80GB"]
    romania = (await api.get("/v2/catalog/gpus", **AVAILABLE, countryCodes="RO,IS")).data["gpus"]
    assert [(row["id"], row["availability"]) for row in romania] == [("NVIDIA RTX A5000", "LOW")]
    floor = (await api.get("/v2/catalog/gpus", **AVAILABLE, minCudaVersion="12.5")).data["gpus"]
    assert [row["availability"] for row in floor] == ["LOW", "LOW", "LOW", "NONE"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"include": "AVAILABILITY"}, 400),
        ({"product": "POD"}, 400),
        ({"count": "2"}, 400),
        ({**AVAILABLE, "minCudaVersion": "12", "cudaVersions": "12.8"}, 400),
        ({**AVAILABLE, "minCudaVersion": "new"}, 422),
        ({**AVAILABLE, "count": "0"}, 422),
        ({**AVAILABLE, "cloud": "HOME"}, 422),
        ({"include": "EVERYTHING"}, 422),
    ],
)
async def test_a_query_that_makes_no_sense(api: RunpodApi, query: dict[str, str], status: int) -> None:
    assert (await api.get("/v2/catalog/gpus", **query)).problem[0] == status


async def test_cpus_and_data_centers(api: RunpodApi) -> None:
    (cpu, _other) = (await api.get("/v2/catalog/cpus", **AVAILABLE)).data["cpus"]
    assert (cpu["id"], cpu["price"]["securePerVcpu"], cpu["availability"]) == (
        "cpu5c",
        Decimal("0.035"),
        "HIGH",
    )
    centers = (await api.get("/v2/catalog/datacenters")).data["dataCenters"]
    assert [one["id"] for one in centers if not one["networkVolumeTypes"]] == ["AP-JP-1"]


# the life of a pod


async def test_a_pod_lives_through_its_states(api: RunpodApi) -> None:
    line = make_public_key()
    assert (await api.request("PUT", "/v2/account/ssh-keys", json={"keys": [line]})).data == {"keys": [line]}
    made = await api.create(name="trip-1", mounts=KEPT, env={"A": "b"})
    assert made.status == 201
    assert (made.data["status"], made.data["actions"]) == ("PROVISIONING", ["terminate"])
    pod, seen = made.data["id"], []
    for _step in range(15):
        shown = await api.show(pod)
        seen.append((shown["status"], bool(shown["ssh"]["direct"]), shown["runtime"] is not None))
        await api.advance(seconds=2)
    assert seen == [
        *[("PROVISIONING", False, False)] * 2,
        *[("STARTING", False, False)] * 8,
        *[("RUNNING", False, False)] * 3,
        *[("RUNNING", True, True)] * 2,
    ]
    shown = await api.show(pod)
    assert shown["env"] == {"A": "b", "PUBLIC_KEY": line}
    assert (shown["cost"], shown["cudaVersion"], shown["dataCenterId"]) == (
        Decimal("0.69"),
        "12.8",
        "US-TX-3",
    )
    machine = api.machines.only_machine
    direct = shown["ssh"]["direct"]
    assert (machine.spec.user, machine.spec.password, machine.spec.authorized_keys) == ("root", "", (line,))
    assert (direct["host"], direct["port"], direct["username"]) == ("127.0.0.1", machine.port, "root")
    connection = await api.machines.connect(Endpoint("root", direct["host"], direct["port"]))
    assert (await connection.run("echo $USER")).stdout == "root\n"


async def test_no_key_no_server(api: RunpodApi) -> None:
    pod = await api.rent()
    await api.sandbox.advance(SSH_AFTER)
    assert (await api.show(pod))["ssh"]["direct"] is not None
    assert not api.machines.booted


async def test_keys_reach_only_pods_that_are_created_later(api: RunpodApi) -> None:
    lines = [make_public_key() for _number in range(2)]
    await api.request("PUT", "/v2/account/ssh-keys", json={"keys": lines[:1]})
    early = await api.rent(cpu=CPU, name="early")
    await api.request("PUT", "/v2/account/ssh-keys", json={"keys": lines})
    late = await api.rent(cpu=CPU, name="late", startSsh=False)
    own = await api.rent(cpu=CPU, name="own", env={"PUBLIC_KEY": "ssh-ed25519 AAAA own"})
    shown = [(await api.show(pod))["env"].get("PUBLIC_KEY") for pod in (early, late, own)]
    assert shown == [lines[0], None, "ssh-ed25519 AAAA own"]
    refused = await api.request("PUT", "/v2/account/ssh-keys", json={"keys": ["hello"]})
    assert refused.problem == (422, "Request validation failed.")
    assert (await api.get("/v2/account/ssh-keys")).data == {"keys": lines}


async def test_stop_and_start(api: RunpodApi) -> None:
    await api.request("PUT", "/v2/account/ssh-keys", json={"keys": [make_public_key()]})
    pod = await api.rent(mounts=KEPT)
    assert (await api.act(pod, "stop")).problem[0] == 409
    await api.sandbox.advance(SSH_AFTER)
    machine = api.machines.only_machine
    stopped = await api.act(pod, "stop")
    assert (stopped.data["status"], stopped.data["cost"], stopped.data["runtime"]) == ("EXITED", 0, None)
    assert stopped.data["actions"] == ["start", "terminate"]
    assert not machine.alive
    assert (await api.act(pod, "stop")).problem[0] == 409
    started = await api.act(pod, "start")
    assert started.data["status"] == "STARTING"
    assert (await api.act(pod, "start")).problem[0] == 409
    await api.advance(seconds=14)
    assert api.machines.only_machine.spec.data == machine.spec.data
    assert (await api.act(pod, "restart")).data["status"] == "STARTING"
    assert (await api.act(pod, "nap")).problem[0] == 422
    assert (await api.act(pod, "terminate")).status == 204


async def test_a_terminated_pod_is_gone_with_its_disk(api: RunpodApi) -> None:
    pod = await api.rent(mounts=KEPT)
    gone = await api.request("DELETE", f"/v2/pods/{pod}")
    assert (gone.status, gone.text) == (204, "")
    for method in ("DELETE", "GET"):
        assert (await api.request(method, f"/v2/pods/{pod}")).problem == (404, "pod not found")
    assert (await api.act(pod, "start")).problem[0] == 404
    assert api.machines.erased == [f"runpod-{pod}"]
    assert (await api.get("/v2/pods")).data["pods"] == []
    assert api.simulator.list_billed_machines() == []


async def test_a_pod_that_does_not_boot(api: RunpodApi) -> None:
    await api.request("PUT", "/v2/account/ssh-keys", json={"keys": [make_public_key()]})
    api.machines.boot_failures = 1
    pod = await api.rent()
    await api.sandbox.advance(SSH_AFTER)
    shown = await api.show(pod)
    assert (shown["status"], shown["actions"]) == ("ERROR", ["start", "terminate"])


async def test_a_name_and_a_lock(api: RunpodApi) -> None:
    pod = await api.rent()
    await api.sandbox.advance(SSH_AFTER)
    changed = await api.request("PATCH", f"/v2/pods/{pod}", json={"name": "other", "locked": True})
    assert (changed.data["name"], changed.data["locked"], changed.data["actions"]) == (
        "other",
        True,
        ["restart", "terminate"],
    )
    assert (await api.request("PATCH", f"/v2/pods/{pod}", json={"gpu": {}})).problem[0] == 422


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"colour": "red"}, 422, "$: additional properties 'colour' not allowed"),
        ({"name": ""}, 422, "$.name: invalid value"),
        ({"image": ""}, 422, "$: missing property 'image'"),
        ({"disk": "20"}, 422, "$.disk: invalid value"),
        ({"ports": ["22"]}, 422, "$.ports: invalid value"),
        ({"cloud": "HOME"}, 422, "$.cloud: invalid value"),
        ({"gpu": {"id": GPU, "cores": 1}}, 422, "$.gpu: additional properties 'cores' not allowed"),
        ({"gpu": {"id": GPU, "minCudaVersion": "12"}}, 422, "$.gpu.minCudaVersion: invalid value"),
        (
            {"mounts": {"persistent": {"size": 9, "path": "/x"}}},
            422,
            "$.mounts.persistent.size: invalid value",
        ),
        ({"mounts": {"network": [{"path": "/x"}]}}, 422, "$.mounts.network[0]: missing property 'volumeId'"),
        ({"gpu": {"id": "NVIDIA Nothing"}}, 400, ""),
        ({"gpu": {"id": GPU, "minCudaVersion": "12.4", "allowedCudaVersions": ["12.8"]}}, 400, ""),
        ({"mounts": {**KEPT, "network": [{"volumeId": "v", "path": "/x"}]}}, 400, ""),
        ({"cpu": CPU, "mounts": KEPT}, 400, ""),
        ({"cpu": {"id": "cpu5c", "vcpuCount": 3}}, 400, ""),
        ({"gpu": {"id": GPU}, "cpu": CPU}, 400, ""),
        ({"gpu": {"id": GPU}, "dataCenterIds": ["EU-RO-1"]}, 400, ""),
        ({"gpu": {"id": GPU, "count": 2}}, 400, ""),
        ({"templateId": "abc"}, 404, ""),
        ({"mounts": {"network": [{"volumeId": "none", "path": "/x"}]}}, 404, ""),
    ],
)
async def test_a_body_that_makes_no_sense(
    api: RunpodApi, fields: dict[str, Any], status: int, error: str
) -> None:
    answer = await api.create(**fields)
    assert answer.problem[0] == status, answer.text
    if error:
        assert answer.data["errors"] == [error]
    assert api.account.pods == []


async def test_a_taken_gpu_and_an_empty_account(api: RunpodApi) -> None:
    await api.rent()
    detail = "There are no longer any instances available with the requested specifications."
    refused = await api.create()
    assert refused.problem == (400, f"{detail} Please refresh and try again.")
    async with runpod_api("0") as poor:
        assert (await poor.create()).problem == (402, "Your account balance is too low to rent a pod")


# lists, limits and keys


async def test_pages_go_on_where_the_last_one_ended(api: RunpodApi) -> None:
    pods = [await api.rent(cpu=CPU, name=f"pod-{number}") for number in range(5)]
    first = (await api.get("/v2/pods", limit="2")).data
    assert first["pagination"]["hasNextPage"] is True
    await api.request("DELETE", f"/v2/pods/{pods[0]}")
    second = (await api.get("/v2/pods", limit="2", cursor=first["pagination"]["nextCursor"])).data
    third = (await api.get("/v2/pods", limit="2", cursor=second["pagination"]["nextCursor"])).data
    assert third["pagination"] == {"hasNextPage": False, "nextCursor": None}
    assert [row["id"] for page in (first, second, third) for row in page["pods"]] == pods
    for query in ({"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"cursor": "%"}):
        assert (await api.get("/v2/pods", **query)).problem[0] == 422


async def test_a_key_is_needed(api: RunpodApi) -> None:
    assert (await api.request("GET", "/v2/pods", key="")).problem == (401, "missing bearer token")
    assert (await api.request("GET", "/v2/pods", key="wrong")).problem == (401, "invalid API key")
    assert (
        await api.request("POST", "/graphql", key="wrong", json={"query": "{ myself { id } }"})
    ).status == 401
    gone = await api.get("/v1/pods")
    assert (gone.status, gone.data) == (404, None), "a gateway's 404 is no problem of the service"


async def test_every_answer_tells_the_quota(api: RunpodApi) -> None:
    answer = await api.get("/v2/pods")
    policy = '"minute";q=60;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400'
    assert answer.headers["ratelimit-policy"] == policy
    assert answer.headers["ratelimit"].startswith('"minute";r=59;t=60, "hour";r=2999;t=3600')
    assert (await api.get("/v2/pods/none")).headers["ratelimit"].startswith('"minute";r=58')


async def test_above_the_quota_it_says_how_long_to_wait() -> None:
    async with runpod_api(pacing="on") as api:
        for _call in range(60):
            assert (await api.get("/v2/account/ssh-keys")).status == 200
        await api.advance(seconds=18)
        refused = await api.get("/v2/account/ssh-keys")
        assert refused.problem == (429, "rate limit exceeded for the minute window")
        assert refused.headers["retry-after"] == "42"
        assert re.match(r'"minute";r=0;t=42', refused.headers["ratelimit"])
        await api.advance(seconds=42)
        assert (await api.get("/v2/account/ssh-keys")).status == 200


# network volumes


async def test_files_on_a_network_volume_outlive_their_pods(api: RunpodApi) -> None:
    await api.request("PUT", "/v2/account/ssh-keys", json={"keys": [make_public_key()]})
    made = await api.post("/v2/network-volumes", name="files", size=100, dataCenter="EU-RO-1")
    volume = made.data["id"]
    assert (made.status, made.data["type"]) == (201, "STANDARD")
    mounts = {"network": [{"volumeId": volume, "path": "/workspace"}]}
    cpu = await api.rent(cpu=CPU, name="staging", mounts=mounts)
    await api.sandbox.advance(SSH_AFTER)
    data = api.machines.only_machine.spec.data
    shown = await api.show(cpu)
    assert (shown["dataCenterId"], shown["actions"]) == ("EU-RO-1", ["restart", "terminate"])
    assert (shown["cpu"], shown["cost"]) == ({**CPU, "memory": 8}, Decimal("0.14"))
    assert (await api.request("DELETE", f"/v2/network-volumes/{volume}")).problem[0] == 409
    gpu = await api.rent(gpu={"id": "NVIDIA RTX A5000"}, name="wanted", mounts=mounts)
    assert (await api.create(mounts=mounts)).problem[0] == 400, "there is none of these in that data center"
    await api.request("DELETE", f"/v2/pods/{cpu}")
    await api.sandbox.advance(SSH_AFTER)
    assert api.machines.only_machine.spec.data == data
    await api.advance(hours=5)
    await api.request("DELETE", f"/v2/pods/{gpu}")
    assert await api.simulator.list_discrepancies() == []
    assert (await api.request("DELETE", f"/v2/network-volumes/{volume}")).status == 204
    assert (await api.get("/v2/network-volumes")).data["networkVolumes"] == []
    found = (await api.get("/v2/billing/network-volumes", networkVolumeId=volume)).data
    assert found["metadata"]["uniqueNetworkVolumeCount"] == 1
    assert found["metadata"]["totals"]["standardAmount"] > 0
    await api.check_books()
    assert (await api.post("/v2/network-volumes", name="x", size=10, dataCenter="AP-JP-1")).problem[0] == 400
    assert (await api.post("/v2/network-volumes", name="x", size=5, dataCenter="EU-RO-1")).problem[0] == 422


async def test_a_second_volume_of_one_name_is_a_double_order(api: RunpodApi) -> None:
    wanted = {"name": "files", "size": 10, "dataCenter": "EU-RO-1"}
    refs = [(await api.post("/v2/network-volumes", **wanted)).data["id"] for _time in range(2)]
    await api.advance(hours=1)
    assert [found.ref for found in await api.simulator.list_discrepancies()] == refs[1:]


# money


async def test_it_bills_every_five_minutes_and_at_each_change(api: RunpodApi) -> None:
    pod = await api.rent(mounts=KEPT, disk=30)
    disk = Decimal(50 * 100_000) / 720
    await api.advance(minutes=17)
    first = [booking.total for booking in api.account.bookings]
    assert sum(first) <= (690_000 + disk) * 17 / 60
    await api.sandbox.advance(SSH_AFTER)
    await api.request("DELETE", f"/v2/pods/{pod}")
    seconds = 17 * 60 + SSH_AFTER.seconds
    gpu = sum(booking.amounts.get("gpu", 0) for booking in api.account.bookings)
    assert abs(gpu - 690_000 * seconds // 3600) <= 4, "rounded down in each state"
    assert {booking.at.minute % 5 for booking in api.account.bookings[2:-1]} <= {0, 4, 5}
    settled = api.account.balance
    await api.advance(days=2)
    assert api.account.balance == settled
    await api.check_books()


async def test_the_billing_history_has_buckets(api: RunpodApi) -> None:
    one = await api.rent(cpu=CPU, name="one")
    other = await api.rent(cpu=CPU, name="other")
    await api.advance(hours=30)
    found = (await api.get("/v2/billing/pods", podId=one, bucketSize="day")).data
    assert {row["podId"] for row in found["records"]} == {one}
    assert len(found["records"]) == 2
    assert found["records"][0]["endTime"] == found["records"][1]["startTime"]
    assert sum(row["cpuAmount"] for row in found["records"]) == found["metadata"]["totals"]["cpuAmount"]
    both = (await api.get("/v2/billing/pods", bucketSize="hour", lastN="2")).data
    assert {row["podId"] for row in both["records"]} == {one, other}
    assert both["metadata"]["uniquePodCount"] == 2
    for query in (
        {"lastN": "1", "startTime": "2026-01-01T00:00:00Z"},
        {"bucketSize": "minute"},
        {"startTime": "x"},
    ):
        assert (await api.get("/v2/billing/pods", **query)).problem[0] in (400, 422)
    await api.check_books()


@pytest.mark.parametrize(
    ("account", "amount", "status"), [("nobody", "5", 404), ("", "0.5", 400), ("", "x", 400)]
)
async def test_the_pay_page_refuses(api: RunpodApi, account: str, amount: str, status: int) -> None:
    path = f"/sandbox/pay/{account or api.account.id}/{amount}"
    assert (
        (await api.client.get(path)).status_code
        == (await api.client.post(f"{path}/settle")).status_code
        == status
    )
    shown = await api.client.get(f"/sandbox/pay/{api.account.id}/5")
    assert "Pay 5 USD" in shown.text.replace("5.000000", "5")
