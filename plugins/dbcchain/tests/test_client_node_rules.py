"""What the simulated client node refuses, tested directly over its socket."""

from __future__ import annotations

from typing import Any

import pytest

from gpurent_plugin_dbcchain.client_node import make_nonce
from gpurent_plugin_dbcchain.extrinsic import RENT_PALLET, RuntimeCall
from gpurent_plugin_dbcchain.keys import base58check_encode
from plugins.dbcchain.tests.raw_chain_user import RawChainUser

# the client node


async def request_client_node(
    raw_user: RawChainUser, number: int, path: str = "tasks", **changes: Any
) -> Any:
    nonce = changes.pop("nonce", make_nonce())
    pair = changes.pop("pair", raw_user.keypair)
    body = {
        "peer_nodes_list": [raw_user.find_machine_id()],
        "additional": {},
        "wallet": raw_user.keypair.address,
        "nonce": nonce,
        "sign": pair.sign(nonce.encode()).hex(),
        "rent_order": str(number),
        **changes,
    }
    return await raw_user.harness.post(f"/api/v1/{path}", **body)


async def test_the_client_node_wants_a_fresh_nonce_signed_by_the_renter(raw_user: RawChainUser) -> None:
    number = await raw_user.rent_order()
    nonce = make_nonce()
    assert (await request_client_node(raw_user, number, nonce=nonce)) == {"errcode": 0, "message": []}
    assert (await request_client_node(raw_user, number, nonce=nonce))["message"] == "nonce is already exist"
    stranger = await raw_user.harness.make_funded_user()
    wrong = stranger.keypair
    assert (await request_client_node(raw_user, number, pair=wrong))["message"] == "verify sign failed"
    theirs = await request_client_node(raw_user, number, pair=wrong, wallet=wrong.address)
    assert theirs["message"] == "check authority failed: no running order"
    assert (await request_client_node(raw_user, number + 1))["errcode"] == -1
    plain = base58check_encode(b"not a uuid")
    assert (await request_client_node(raw_user, number, nonce=plain))["message"] == "verify sign failed"
    spoiled = (fresh := make_nonce())[:-1] + ("2" if fresh.endswith("1") else "1")
    assert (await request_client_node(raw_user, number, nonce=spoiled))["errcode"] == -1
    sign = "0x" + raw_user.keypair.sign((other := make_nonce()).encode()).hex()
    assert (await request_client_node(raw_user, number, nonce=other, sign=sign))["errcode"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"gpu_count": 1},
        {"gpu_count": "2"},
        {"image_name": "none"},
        {"disk_size": "-1"},
        {"operation_system": "x"},
    ],
)
async def test_the_client_node_refuses_invalid_sizes_and_images(
    raw_user: RawChainUser, change: dict[str, Any]
) -> None:
    number = await raw_user.rent_order()
    requested = {
        "image_name": "ubuntu-22.04-cuda-12.2.qcow2",
        "desc": "x",
        "operation_system": "linux",
        "gpu_count": "1",
        "cpu_cores": "2",
        "mem_size": "4",
        "disk_size": "100",
    }
    assert (await request_client_node(raw_user, number, "tasks/start", additional={**requested, **change}))[
        "errcode"
    ] < 0
    assert (await request_client_node(raw_user, number, "tasks/start", additional=requested))["errcode"] == 0


async def test_files_stay_ten_days_after_the_order(raw_user: RawChainUser) -> None:
    number = await raw_user.rent_order()
    requested = {
        "image_name": "ubuntu-22.04-cuda-12.2.qcow2",
        "desc": "x",
        "operation_system": "linux",
        **dict.fromkeys(("gpu_count", "cpu_cores", "mem_size", "disk_size"), "1"),
    }
    await request_client_node(raw_user, number, "tasks/start", additional=requested)
    assert await raw_user.run_call(RuntimeCall(pallet=RENT_PALLET, verb="confirm", order=number)) == ""
    raw_user.advance_blocks(20)
    await raw_user.harness.simulator.tick()
    assert len(raw_user.harness.machines.alive_machines) == 1
    raw_user.advance_blocks(600)
    await raw_user.harness.simulator.tick()
    assert raw_user.harness.machines.alive_machines == {}
    assert len(raw_user.harness.machines.disks) == 1
    await raw_user.harness.advance(days=9, hours=23)
    assert len(raw_user.harness.machines.disks) == 1
    await raw_user.harness.advance(hours=2)
    assert raw_user.harness.machines.disks == set()
