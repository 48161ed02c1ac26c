"""The wiki's rows for 1024GPU, by the real command line over the sandbox's sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gpurent.domain.access import Endpoint
from gpurent.testing.sandbox.mail_server import ADDRESS
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=240, machines=4) as made:
        yield made


async def log_in_with_dbc(sandbox: TripSandbox) -> str:
    result = await sandbox.run_command("login", "1024gpu", "--json")
    assert result.code == 0, result.err
    address = str(result.data["account"])
    async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["dbc"]) as client:
        form = {"address": address, "amount": "90000"}
        assert (await client.post("/sandbox/faucet", json=form)).status_code == 200
    return address


async def get_dbc_balance(sandbox: TripSandbox) -> int:
    (row,) = (await sandbox.run_command("balance", "1024gpu", "--json")).data
    return int(row["balance"]["available"]["minor"])


async def get_overview(sandbox: TripSandbox) -> dict[str, str]:
    found = {
        item["name"]: item["overview"] for item in (await sandbox.run_command("providers", "--json")).data
    }
    return dict(found["1024gpu"])


async def test_o3_upload_is_slow(sandbox: TripSandbox) -> None:
    assert (await get_overview(sandbox))["upload"] == "slow"


async def test_o4_cpu_only_machines_can_be_had(sandbox: TripSandbox) -> None:
    assert (await get_overview(sandbox))["cpu_only"] == "yes"
    await log_in_with_dbc(sandbox)
    (listed,) = (await sandbox.run_command("offers", "-p", "1024gpu", "--cpu", "--json")).data
    assert listed["offers"]
    assert all(offer["hardware"]["gpus"] == 0 for offer in listed["offers"])
    assert all(offer["deposit"]["money"]["currency"] == "DBC" for offer in listed["offers"])


async def test_o5_compatibility_is_reported(sandbox: TripSandbox) -> None:
    assert (await get_overview(sandbox))["compatibility"] == "cuDNN errors seen"


async def test_f1_first_use_hands_out_a_private_key_to_keep(sandbox: TripSandbox) -> None:
    result = await sandbox.run_command("login", "1024gpu", "--json")
    address = result.data["account"]
    kept = (await sandbox.run_command("whoami", "--show-key", "1024gpu", "--json")).data["credentials"][
        "private_key"
    ]
    assert len(kept) == 64
    assert kept not in result.out + result.err
    state = b"".join(path.read_bytes() for path in (sandbox.home / "state").rglob("*") if path.is_file())
    assert kept.encode() not in state, "encrypted at rest"
    assert (await sandbox.run_command("-y", "logout", "1024gpu", "--forget-key")).code == 0
    again = await sandbox.run_command(
        "login", "1024gpu", "--stdin", "private_key", "--json", input_text=kept + "\n"
    )
    assert again.data["account"] == address
    assert kept not in again.out + again.err


async def test_f2_wallet_address_purchase_page_and_advice(sandbox: TripSandbox) -> None:
    address = await log_in_with_dbc(sandbox)
    top_up = (await sandbox.run_command("topup", "1024gpu", "80000DBC", "--json")).data
    assert top_up["url"].endswith(f"address_user={address}")
    assert "80,000 DBC" in top_up["advice"]
    assert "60,000 DBC" in top_up["advice"]
    assert await get_dbc_balance(sandbox) == 90000 * 10**8


async def test_f3_mail_is_bound_by_a_small_payment(sandbox: TripSandbox) -> None:
    await log_in_with_dbc(sandbox)
    before = await get_dbc_balance(sandbox)
    lease = await rent_cpu_machine(sandbox)
    assert list(sandbox.cloud.simulators_by_name["1024gpu"].state.emails.values()) == [ADDRESS]  # type: ignore[attr-defined]
    assert (await sandbox.run_command("release", lease["id"])).code == 0
    fee = before - await get_dbc_balance(sandbox)
    assert 0 < fee < 10**8, "only the binding was paid"


async def rent_cpu_machine(sandbox: TripSandbox) -> dict[str, Any]:
    result = await sandbox.run_command("-y", "rent", "-p", "1024gpu", "--cpu", "--for", "1天", "--json")
    assert result.code == 0, result.err
    found: dict[str, Any] = result.data
    return found


async def test_f4_cpu_container_is_free_while_the_deposit_lies(sandbox: TripSandbox) -> None:
    await log_in_with_dbc(sandbox)
    before = await get_dbc_balance(sandbox)
    lease = await rent_cpu_machine(sandbox)
    assert lease["offer"]["hardware"]["gpus"] == 0
    assert lease["endpoint"]["user"] == "root"
    held = before - await get_dbc_balance(sandbox)
    assert 60000 * 10**8 < held < 60002 * 10**8
    released = (await sandbox.run_command("release", lease["id"], "--json")).data
    assert released["totals"][0]["held"]["minor"] == 0
    assert released["totals"][0]["spent"]["minor"] == 0


async def upgrade_lease(sandbox: TripSandbox, lease: dict[str, Any]) -> dict[str, Any]:
    result = await sandbox.run_command(
        "-y", "upgrade", lease["id"], "--gpu", "2080ti", "--for", "1d", "--json"
    )
    assert result.code == 0, result.err
    found: dict[str, Any] = result.data
    return found


async def test_f5_gpu_after_uploading_and_the_deposit_returns(sandbox: TripSandbox, tmp_path: Path) -> None:
    await log_in_with_dbc(sandbox)
    lease = await rent_cpu_machine(sandbox)
    (tmp_path / "train.py").write_text("print(f'{6 * 7}')")
    assert (await sandbox.run_command("push", lease["id"], str(tmp_path / "train.py"))).code == 0
    before = await get_dbc_balance(sandbox)
    gpu = await upgrade_lease(sandbox, lease)
    assert gpu["id"] == lease["id"]
    assert gpu["ref"] != lease["ref"]
    assert gpu["offer"]["hardware"]["gpu"] == "2080Ti"
    assert await get_dbc_balance(sandbox) > before + 50000 * 10**8, "the deposit is back"
    assert len(sandbox.cloud.driver.list_machines()) == 1, "the CPU container closed on the way"
    assert (await sandbox.run_command("exec", lease["id"], "python3 train.py")).out.strip() == "42"
    assert (await sandbox.run_command("release", lease["id"])).code == 0


async def test_f6_renewal_in_time_moves_the_end(sandbox: TripSandbox) -> None:
    await log_in_with_dbc(sandbox)
    gpu = await upgrade_lease(sandbox, await rent_cpu_machine(sandbox))
    renewed = (await sandbox.run_command("-y", "renew", gpu["id"], "--for", "1d", "--json")).data
    gained = datetime.fromisoformat(renewed["expires_at"]) - datetime.fromisoformat(gpu["expires_at"])
    assert gained == timedelta(days=1)
    assert (await sandbox.run_command("release", gpu["id"])).code == 0


async def test_f7_return_with_the_mailed_code_refunds_unused_time(sandbox: TripSandbox) -> None:
    await log_in_with_dbc(sandbox)
    gpu = await upgrade_lease(sandbox, await rent_cpu_machine(sandbox))
    released = (await sandbox.run_command("release", gpu["id"], "--json")).data
    kinds = [charge["kind"] for charge in released["receipt"]["charges"]]
    assert sorted(kinds) == ["deposit", "deposit-refund", "refund", "usage"]
    (total,) = released["totals"]
    assert total["paid"]["minor"] - total["refunded"]["minor"] == total["spent"]["minor"] > 0
    assert sandbox.cloud.driver.list_machines() == []
    again = await sandbox.run_command("release", gpu["id"], "--json")
    assert again.code == 0, "a second release changes nothing"
    assert again.data["totals"] == released["totals"]


async def test_f6_time_that_runs_out_shuts_the_server(sandbox: TripSandbox) -> None:
    await log_in_with_dbc(sandbox)
    lease = (
        await sandbox.run_command("-y", "rent", "-p", "1024gpu", "--gpu", "T4", "--for", "1h", "--json")
    ).data
    assert datetime.fromisoformat(lease["expires_at"]) > datetime.now(UTC)
    await sandbox.cloud.advance(timedelta(hours=2))
    found = (await sandbox.run_command("show", lease["id"], "--json")).data
    assert found["state"] in ("expired", "kept")
    assert sandbox.cloud.driver.list_machines() == []


async def rent_for_an_hour(sandbox: TripSandbox) -> dict[str, Any]:
    await log_in_with_dbc(sandbox)
    result = await sandbox.run_command(
        "-y", "rent", "-p", "1024gpu", "--gpu", "2080Ti", "--for", "1h", "--json"
    )
    assert result.code == 0, result.err
    found: dict[str, Any] = result.data
    return found


async def test_a1_adopted_by_the_ssh_command_of_its_mail(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=60, settings={"1024gpu.api": "off"}) as sandbox:
        access = await sandbox.cloud.get_manual_rental("1024gpu").rent_manually()
        common = (
            "adopt",
            access.ssh_command,
            "-p",
            "1024gpu",
            "--price",
            "1.5CNY/h",
            "--until",
            "24h",
            "--json",
        )
        result = await sandbox.run_command(*common, "--stdin", "password", input_text=f"{access.password}\n")
        assert result.code == 0, result.err
        lease = result.data["id"]
        assert (await sandbox.run_command("exec", lease, 'echo "$USER"')).out.strip() == "root"
        left = await sandbox.run_command("release", lease)
        assert left.code == 11, "nothing on it stops it, so the user must"
        assert "https://www.1024gpu.top/home" in left.err
        await sandbox.cloud.get_manual_rental("1024gpu").stop_manually(access.ref)
        assert (await sandbox.run_command("release", lease, "--confirmed")).code == 0


async def test_a1_access_comes_by_mail_only(sandbox: TripSandbox) -> None:
    lease = await rent_for_an_hour(sandbox)
    assert str(Endpoint(**lease["endpoint"])).startswith("ssh root@")
    result = await sandbox.run_command("exec", lease["id"], 'echo "$USER"')
    assert result.out.strip() == "root"
    orders = list(sandbox.cloud.simulators_by_name["1024gpu"].state.orders.values())  # type: ignore[attr-defined]
    passwords = [order.password for order in orders if order.password]
    async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["1024gpu"]) as client:
        form = {"wallet_address_user": orders[0].wallet, "user_name_platform": "1024lab", "language": "CN"}
        listed = (await client.post("/rent/get_all_order", params=form)).text
    assert lease["ref"] in listed
    assert not [password for password in passwords if password in listed], "no field of the wire holds it"
    assert (await sandbox.run_command("release", lease["id"])).code == 0


async def test_r1_python_is_two_and_python3_is_used(sandbox: TripSandbox, tmp_path: Path) -> None:
    lease = await rent_for_an_hour(sandbox)
    (tmp_path / "train.py").write_text("import sys\nprint(f'{sys.version_info.major}')")
    assert (await sandbox.run_command("push", lease["id"], str(tmp_path / "train.py"))).code == 0
    assert (await sandbox.run_command("exec", lease["id"], "python train.py")).code != 0
    result = await sandbox.run_command("start", lease["id"], "--", "train.py")
    assert result.code == 0, result.err
    logs = await sandbox.run_command("logs", lease["id"], "job", "--follow")
    assert logs.out.strip() == "3"
    assert (await sandbox.run_command("release", lease["id"])).code == 0
