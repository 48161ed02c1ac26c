"""The wiki's rows for 1024GPU, by the real command line over the sandbox's sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gpurent.domain.access import Endpoint
from gpurent.testing.sandbox.mail import ADDRESS
from tests.workflow.world import World, world


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=240, machines=4) as made:
        yield made


async def enter(land: World) -> str:
    said = await land.cli("login", "1024gpu", "--json")
    assert said.code == 0, said.err
    address = str(said.data["account"])
    async with httpx2.AsyncClient(base_url=land.cloud.urls["dbc"]) as client:
        given = {"address": address, "amount": "90000"}
        assert (await client.post("/sandbox/faucet", json=given)).status_code == 200
    return address


async def dbc(land: World) -> int:
    (row,) = (await land.cli("balance", "1024gpu", "--json")).data
    return int(row["balance"]["available"]["minor"])


async def overview(land: World) -> dict[str, str]:
    found = {item["name"]: item["overview"] for item in (await land.cli("providers", "--json")).data}
    return dict(found["1024gpu"])


async def test_o3_upload_is_slow(land: World) -> None:
    assert (await overview(land))["upload"] == "slow"


async def test_o4_cpu_only_machines_can_be_had(land: World) -> None:
    assert (await overview(land))["cpu_only"] == "yes"
    await enter(land)
    (listed,) = (await land.cli("offers", "-p", "1024gpu", "--cpu", "--json")).data
    assert listed["offers"]
    assert all(offer["hardware"]["gpus"] == 0 for offer in listed["offers"])
    assert all(offer["deposit"]["money"]["currency"] == "DBC" for offer in listed["offers"])


async def test_o5_compatibility_is_told(land: World) -> None:
    assert (await overview(land))["compatibility"] == "CuDNN errors seen"


async def test_f1_first_use_hands_out_a_private_key_to_keep(land: World) -> None:
    said = await land.cli("login", "1024gpu", "--json")
    address = said.data["account"]
    kept = (await land.cli("whoami", "--show-key", "1024gpu", "--json")).data["credentials"]["private_key"]
    assert len(kept) == 64
    assert kept not in said.out + said.err
    state = b"".join(path.read_bytes() for path in (land.home / "state").rglob("*") if path.is_file())
    assert kept.encode() not in state, "encrypted at rest"
    assert (await land.cli("-y", "logout", "1024gpu", "--forget-key")).code == 0
    again = await land.cli("login", "1024gpu", "--stdin", "private_key", "--json", given=kept + "\n")
    assert again.data["account"] == address
    assert kept not in again.out + again.err


async def test_f2_wallet_address_purchase_page_and_advice(land: World) -> None:
    address = await enter(land)
    way = (await land.cli("topup", "1024gpu", "80000DBC", "--json")).data
    assert way["url"].endswith(f"address_user={address}")
    assert "80,000 DBC" in way["advice"]
    assert "60,000 DBC" in way["advice"]
    assert await dbc(land) == 90000 * 10**8


async def test_f3_mail_is_bound_by_a_small_payment(land: World) -> None:
    await enter(land)
    before = await dbc(land)
    lease = await cpu(land)
    assert list(land.cloud.portals["1024gpu"].books.emails.values()) == [ADDRESS]  # type: ignore[attr-defined]
    assert (await land.cli("release", lease["id"])).code == 0
    fee = before - await dbc(land)
    assert 0 < fee < 10**8, "only the binding was paid"


async def cpu(land: World) -> dict[str, Any]:
    said = await land.cli("rent", "-p", "1024gpu", "--cpu", "--for", "1天", "--json")
    assert said.code == 0, said.err
    found: dict[str, Any] = said.data
    return found


async def test_f4_cpu_container_is_free_while_the_deposit_lies(land: World) -> None:
    await enter(land)
    before = await dbc(land)
    lease = await cpu(land)
    assert lease["offer"]["hardware"]["gpus"] == 0
    assert lease["endpoint"]["user"] == "root"
    held = before - await dbc(land)
    assert 60000 * 10**8 < held < 60002 * 10**8
    released = (await land.cli("release", lease["id"], "--json")).data
    assert released["totals"][0]["held"]["minor"] == 0
    assert released["totals"][0]["spent"]["minor"] == 0


async def upgraded(land: World, lease: dict[str, Any]) -> dict[str, Any]:
    said = await land.cli("upgrade", lease["id"], "--gpu", "2080ti", "--for", "1d", "--json")
    assert said.code == 0, said.err
    found: dict[str, Any] = said.data
    return found


async def test_f5_gpu_after_uploading_and_the_deposit_returns(land: World, tmp_path: Path) -> None:
    await enter(land)
    lease = await cpu(land)
    (tmp_path / "train.py").write_text("print(f'{6 * 7}')")
    assert (await land.cli("push", lease["id"], str(tmp_path / "train.py"))).code == 0
    before = await dbc(land)
    gpu = await upgraded(land, lease)
    assert gpu["id"] == lease["id"]
    assert gpu["ref"] != lease["ref"]
    assert gpu["offer"]["hardware"]["gpu"] == "2080Ti"
    assert await dbc(land) > before + 50000 * 10**8, "the deposit is back"
    assert len(land.cloud.driver.machines()) == 1, "the CPU container closed on the way"
    assert (await land.cli("exec", lease["id"], "python3 train.py")).out.strip() == "42"
    assert (await land.cli("release", lease["id"])).code == 0


async def test_f6_renewal_in_time_moves_the_end(land: World) -> None:
    await enter(land)
    gpu = await upgraded(land, await cpu(land))
    renewed = (await land.cli("renew", gpu["id"], "--for", "1d", "--json")).data
    gained = datetime.fromisoformat(renewed["expires_at"]) - datetime.fromisoformat(gpu["expires_at"])
    assert gained == timedelta(days=1)
    assert (await land.cli("release", gpu["id"])).code == 0


async def test_f7_return_with_the_mailed_code_refunds_unused_time(land: World) -> None:
    await enter(land)
    gpu = await upgraded(land, await cpu(land))
    released = (await land.cli("release", gpu["id"], "--json")).data
    kinds = [charge["kind"] for charge in released["receipt"]["charges"]]
    assert sorted(kinds) == ["deposit", "deposit-back", "refund", "use"]
    (total,) = released["totals"]
    assert total["paid"]["minor"] - total["refunded"]["minor"] == total["spent"]["minor"] > 0
    assert land.cloud.driver.machines() == []
    again = await land.cli("release", gpu["id"], "--json")
    assert again.code == 0, "given back twice is given back"
    assert again.data["totals"] == released["totals"]


async def test_f6_time_that_runs_out_shuts_the_server(land: World) -> None:
    await enter(land)
    lease = (await land.cli("rent", "-p", "1024gpu", "--gpu", "T4", "--for", "1h", "--json")).data
    assert datetime.fromisoformat(lease["expires_at"]) > datetime.now(UTC)
    await land.cloud.advance(timedelta(hours=2))
    found = (await land.cli("show", lease["id"], "--json")).data
    assert found["state"] in ("expired", "kept")
    assert land.cloud.driver.machines() == []


async def hour(land: World) -> dict[str, Any]:
    await enter(land)
    said = await land.cli("rent", "-p", "1024gpu", "--gpu", "2080Ti", "--for", "1h", "--json")
    assert said.code == 0, said.err
    found: dict[str, Any] = said.data
    return found


async def test_a1_taken_over_by_the_line_of_its_mail(tmp_path: Path) -> None:
    async with world(tmp_path, speed=60, settings={"1024gpu.api": "off"}) as land:
        site = await land.cloud.hand("1024gpu").rent_by_hand()
        common = ("adopt", site.line, "-p", "1024gpu", "--price", "1.5CNY/h", "--until", "24h", "--json")
        said = await land.cli(*common, "--stdin", "password", given=f"{site.password}\n")
        assert said.code == 0, said.err
        lease = said.data["id"]
        assert (await land.cli("exec", lease, 'echo "$USER"')).out.strip() == "root"
        left = await land.cli("release", lease)
        assert left.code == 11, "nothing on it stops it, so the user must"
        assert "https://www.1024gpu.top/home" in left.err
        await land.cloud.hand("1024gpu").stop_by_hand(site.ref)
        assert (await land.cli("release", lease, "--confirmed")).code == 0


async def test_a1_access_comes_by_mail_only(land: World) -> None:
    lease = await hour(land)
    assert str(Endpoint(**lease["endpoint"])).startswith("ssh root@")
    said = await land.cli("exec", lease["id"], 'echo "$USER"')
    assert said.out.strip() == "root"
    orders = list(land.cloud.portals["1024gpu"].books.orders.values())  # type: ignore[attr-defined]
    passwords = [order.password for order in orders if order.password]
    async with httpx2.AsyncClient(base_url=land.cloud.urls["1024gpu"]) as client:
        given = {"wallet_address_user": orders[0].wallet, "user_name_platform": "1024lab", "language": "CN"}
        listed = (await client.post("/rent/get_all_order", params=given)).text
    assert lease["ref"] in listed
    assert not [password for password in passwords if password in listed], "no field of the wire holds it"
    assert (await land.cli("release", lease["id"])).code == 0


async def test_r1_python_is_two_and_python3_is_used(land: World, tmp_path: Path) -> None:
    lease = await hour(land)
    (tmp_path / "train.py").write_text("import sys\nprint(f'{sys.version_info.major}')")
    assert (await land.cli("push", lease["id"], str(tmp_path / "train.py"))).code == 0
    assert (await land.cli("exec", lease["id"], "python train.py")).code != 0
    said = await land.cli("start", lease["id"], "--", "train.py")
    assert said.code == 0, said.err
    logs = await land.cli("logs", lease["id"], "job", "--follow")
    assert logs.out.strip() == "3"
    assert (await land.cli("release", lease["id"])).code == 0
