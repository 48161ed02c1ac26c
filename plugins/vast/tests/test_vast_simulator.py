"""The simulator of vast.ai over HTTP: the market, and the life of an instance."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from gpurent.api import Endpoint
from gpurent.testing.lease_driver import make_public_key
from plugins.vast.tests.vast_simulator_harness import VastApi, vast_api


@pytest.fixture
async def api() -> AsyncIterator[VastApi]:
    async with vast_api() as made:
        yield made


async def test_gpu_names_need_no_login(api: VastApi) -> None:
    answer = await api.request("GET", "/api/v0/gpu_names/unique/", key="")
    assert answer.status == 200
    assert set(answer.data["gpu_names"]) == {"RTX 4090", "RTX 3090", "A100 SXM4", "RTX 2080 Ti"}


async def test_a_search_filters_and_orders(api: VastApi) -> None:
    everything = await api.search()
    assert [offer["gpu_name"] for offer in everything] == [
        "RTX 4090",
        "RTX 3090",
        "A100 SXM4",
        "RTX 2080 Ti",
    ]
    cheapest = await api.search(order=[["dph_total", "asc"]], limit=1)
    assert cheapest[0]["dph_total"] == min(offer["dph_total"] for offer in everything)
    dearest = await api.search(order=["dph_total", "desc"], limit="1")
    assert dearest[0]["dph_total"] == max(offer["dph_total"] for offer in everything)
    for query, expected in (
        ({"gpu_name": {"in": ["RTX 4090", "RTX 3090"]}}, 2),
        ({"gpu_name": {"notin": ["RTX 4090"]}}, 3),
        ({"gpu_name": {"eq": "RTX 3090"}}, 1),
        ({"gpu_name": {"neq": "RTX 3090"}}, 3),
        ({"num_gpus": {"eq": "1"}}, 3),
        ({"num_gpus": {"gt": 1}}, 1),
        ({"reliability2": {"gte": "0.99"}}, 2),
        ({"reliability": {"lt": 0.9914}}, 2),
        ({"cuda_max_good": {"lte": 12.4}}, 2),
        ({"geolocation": {"in": ["SE", "DE"]}}, 2),
        ({"geolocation": {"eq": "Sweden, SE"}}, 1),
        ({"verified": {"eq": True}, "external": {"eq": False}}, 3),
        ({"rented": {"eq": "true"}}, 1),
        ({"rentable": {"eq": True}, "rented": {"eq": False}, "type": "ondemand"}, 4),
        ({"disk_space": {"gte": 300}}, 1),
        ({"allocated_storage": 300}, 1),
    ):
        assert len(await api.search(**query)) == expected, query


async def test_storage_changes_the_price(api: VastApi) -> None:
    small = (await api.search(allocated_storage=8, gpu_name={"eq": "RTX 3090"}))[0]
    large = (await api.search(allocated_storage="108", gpu_name={"eq": "RTX 3090"}))[0]
    assert small["dph_base"] == large["dph_base"] == Decimal("0.187333")
    assert large["dph_total"] - small["dph_total"] == small["storage_cost"] * 100 / 720
    assert large["search"]["totalHour"] == large["dph_total"]


async def test_bids_are_offered_for_less(api: VastApi) -> None:
    (offer,) = await api.search(type="bid", gpu_name={"eq": "RTX 4090"})
    assert offer["dph_base"] == offer["min_bid"] == Decimal("0.226875")
    assert offer["is_bid"] is True


async def test_the_newer_search(api: VastApi) -> None:
    query = {"gpu_name": {"eq": "RTX 4090"}, "type": "on-demand"}
    answer = await api.put("/api/v0/search/asks/", select_cols=["*"], q=query)
    assert answer.data["offers"] == await api.search(**query)
    narrow = await api.put("/api/v0/search/asks/", select_cols=["id", "gpu_name"], q=query)
    assert narrow.data["offers"] == [{"id": answer.data["offers"][0]["id"], "gpu_name": "RTX 4090"}]


@pytest.mark.parametrize(
    "query",
    [
        {"num_gpus": {"about": 1}},
        {"num_gpus": {"gt": "many"}},
        {"gpu_name": {"in": "RTX 4090"}},
        {"colour": {"eq": "red"}},
        {"type": "free"},
        {"order": [["colour", "asc"]]},
        {"order": [["dph_total", "up"]]},
        {"limit": "all"},
    ],
)
async def test_a_query_that_makes_no_sense(api: VastApi, query: dict[str, object]) -> None:
    answer = await api.request("POST", "/api/v0/bundles/", json=query)
    assert answer.error == (400, "invalid_args")


async def test_an_instance_lives_through_its_states(api: VastApi) -> None:
    await api.request("POST", "/api/v0/ssh/", json={"ssh_key": (line := make_public_key())})
    made = await api.rent(label="trip-1", env={"-p 8000:8000": "1"}, onstart="date")
    seen = [(await api.show(made))["actual_status"]]
    for _step in range(12):
        await api.advance(seconds=2)
        seen.append((await api.show(made))["actual_status"])
    assert seen == [None, "created", *["loading"] * 8, *["running"] * 3]
    shown = await api.show(made)
    assert (shown["label"], shown["intended_status"], shown["cur_state"]) == ("trip-1", "running", "running")
    assert (shown["extra_env"], shown["onstart"]) == ([["-p 8000:8000", "1"]], "date")
    machine = api.machines.only_machine
    assert (machine.spec.user, machine.spec.password, machine.spec.authorized_keys) == ("root", "", (line,))
    assert shown["public_ipaddr"] == shown["ssh_host"] == "127.0.0.1"
    assert shown["ports"]["22/tcp"][0]["HostPort"] == str(machine.port)
    assert shown["ssh_port"] == machine.port
    connection = await api.machines.connect(Endpoint("root", shown["public_ipaddr"], shown["ssh_port"]))
    assert (await connection.run("echo $USER")).stdout == "root\n"


async def test_it_runs_before_it_answers(api: VastApi) -> None:
    made = await api.rent()
    await api.advance(seconds=20)
    shown = await api.show(made)
    assert shown["actual_status"] == "running"
    assert shown["ports"]["22/tcp"][0]["HostPort"] == str(shown["ssh_port"])
    assert not api.machines.booted
    await api.advance(seconds=3)
    assert api.machines.only_machine.port == shown["ssh_port"]


async def test_only_a_direct_instance_has_ports(api: VastApi) -> None:
    made = await api.rent_running(runtype="ssh_proxy")
    shown = await api.show(made)
    assert shown["ports"] is None
    assert shown["ssh_port"] == api.machines.only_machine.port


async def test_stop_and_start(api: VastApi) -> None:
    made = await api.rent_running()
    machine = api.machines.only_machine
    assert (await api.put(f"/api/v0/instances/{made}/", state="stopped")).data == {"success": True}
    assert (await api.show(made))["actual_status"] == "running"
    await api.advance(seconds=2)
    shown = await api.show(made)
    assert (shown["actual_status"], shown["ports"], shown["ssh_port"]) == ("stopped", None, None)
    assert not machine.alive
    assert len(await api.search()) == 4  # others may have its GPUs
    assert (await api.put(f"/api/v0/instances/{made}/", state="running")).data == {"success": True}
    assert len(await api.search()) == 3
    assert (await api.show(made))["actual_status"] == "loading"
    await api.advance(seconds=8)
    assert (await api.show(made))["actual_status"] == "running"
    assert api.machines.only_machine.spec.data == machine.spec.data


async def test_a_start_waits_for_its_gpus(api: VastApi) -> None:
    made = await api.rent_running()
    machine_id = (await api.show(made))["machine_id"]
    await api.put(f"/api/v0/instances/{made}/", state="stopped")
    await api.advance(seconds=2)
    api.state.rent_by_others(machine_id)
    answer = await api.put(f"/api/v0/instances/{made}/", state="running")
    assert answer.error == (200, "resources_unavailable")
    shown = await api.show(made)
    assert (shown["actual_status"], shown["intended_status"]) == ("stopped", "running")
    await api.advance(hours=1)
    assert (await api.show(made))["actual_status"] == "stopped"
    api.state.free_by_others(machine_id)
    await api.advance(seconds=8)
    assert (await api.show(made))["actual_status"] == "running"


async def test_an_instance_may_wait_from_its_beginning(api: VastApi) -> None:
    (taken,) = await api.search(rented={"eq": True})
    refused = await api.create(taken["id"], cancel_unavail=True)
    assert refused.error == (410, "no_such_ask")
    assert refused.data["ask_id"] == taken["id"]
    made = await api.rent(taken["id"])
    assert (await api.show(made))["actual_status"] == "stopped"


async def test_target_state_stopped(api: VastApi) -> None:
    made = await api.rent(target_state="stopped")
    await api.advance(hours=1)
    assert (await api.show(made))["actual_status"] == "stopped"
    assert len(await api.search()) == 4
    await api.put(f"/api/v0/instances/{made}/", state="running")
    await api.advance(seconds=8)
    assert (await api.show(made))["actual_status"] == "running"


async def test_destroy(api: VastApi) -> None:
    made = await api.rent_running()
    path = f"/api/v0/instances/{made}/"
    assert (await api.request("DELETE", path)).data == {"success": True}
    assert (await api.request("DELETE", path)).error == (404, "no_such_instance")
    assert (await api.put(path, state="running")).error == (404, "no_such_instance")
    assert (await api.get(path)).data == {"instances": None}
    assert not api.machines.alive_machines
    assert api.machines.erased == [f"vast-{made}"]
    assert api.simulator.list_billed_machines() == []


async def test_a_reboot_keeps_the_port_and_is_billed(api: VastApi) -> None:
    made = await api.rent_running()
    before = api.machines.only_machine
    assert (await api.put(f"/api/v0/instances/reboot/{made}/")).data == {"success": True}
    assert not api.machines.alive_machines
    assert (await api.show(made))["actual_status"] == "running"
    await api.advance(seconds=3)
    assert (api.machines.only_machine.port, api.machines.only_machine.id) != (before.port, before.id)
    assert api.machines.only_machine.port == before.port


async def test_a_machine_that_does_not_boot(api: VastApi) -> None:
    api.machines.boot_failures = 1
    made = await api.rent_running()
    assert (await api.show(made))["actual_status"] == "exited"


async def test_others_levers(api: VastApi) -> None:
    made = await api.rent_running()
    machine_id = (await api.show(made))["machine_id"]
    await api.state.set_offline(machine_id, True)
    assert (await api.show(made))["actual_status"] == "offline"
    await api.advance(hours=1)
    await api.state.set_offline(machine_id, False)
    await api.advance(seconds=8)
    assert (await api.show(made))["actual_status"] == "running"
    instance = api.account.find_instance(made)
    assert instance is not None
    await api.state.end_container(instance)
    assert (await api.show(made))["actual_status"] == "exited"


# keys


async def test_keys_of_the_account_go_to_new_instances(api: VastApi) -> None:
    line = make_public_key()
    early = await api.rent_running()
    added = await api.request("POST", "/api/v0/ssh/", json={"ssh_key": f"{line} me@home\n"})
    assert added.data["key"]["public_key"] == f"{line} me@home"
    again = await api.request("POST", "/api/v0/ssh/", json={"ssh_key": line})
    assert again.data["key"]["id"] == added.data["key"]["id"]
    assert (await api.get("/api/v0/users/current/")).data["ssh_key"] == f"{line} me@home"
    late = await api.rent_running()
    for made, count in ((early, 0), (late, 1)):
        shown = await api.get(f"/api/v0/instances/{made}/ssh/")
        assert len(json.loads(shown.data["ssh_keys"])) == count
    removed = await api.request("DELETE", f"/api/v0/ssh/{added.data['key']['id']}/")
    assert removed.data == {"success": True}


async def test_keys_of_one_instance(api: VastApi) -> None:
    made, line = await api.rent_running(), make_public_key()
    path = f"/api/v0/instances/{made}/ssh/"
    attached = await api.request("POST", path, json={"ssh_key": line})
    assert attached.data == {"success": True, "msg": "SSH key attached successfully"}
    assert api.machines.only_machine.spec.authorized_keys == (line,)
    (key,) = json.loads((await api.get(path)).data["ssh_keys"])
    assert key["public_key"] == line
    assert (await api.request("DELETE", f"{path}{key['id']}/")).data["success"] is True
    assert (await api.request("DELETE", f"{path}{key['id']}/")).error == (404, "no_such_key")
    assert (await api.get("/api/v0/instances/5/ssh/")).error == (200, "no_such_instance")
    assert (await api.request("POST", path, json={"ssh_key": "hello"})).error == (400, "invalid_args")
