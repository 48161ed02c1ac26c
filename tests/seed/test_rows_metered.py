"""The wiki's rows for MISTGPU, by the real command line over the sandbox's sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from gpurent.domain.access import Endpoint
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=13) as made:
        yield made


async def log_in_with_money(sandbox: TripSandbox, yuan: str = "20") -> None:
    result = await sandbox.run_command(
        "login", "mistgpu", "-f", "username=student", "--stdin", "password", input_text="student-pass\n"
    )
    assert result.code == 0, result.err
    if yuan:
        top_up = (await sandbox.run_command("topup", "mistgpu", yuan, "--json")).data
        async with httpx2.AsyncClient() as client:
            assert (await client.post(f"{top_up['url']}/settle")).status_code == 200


async def rent_machine(sandbox: TripSandbox) -> str:
    result = await sandbox.run_command("-y", "rent", "--provider", "mistgpu", "--json")
    assert result.code == 0, result.err
    return str(result.data["id"])


async def test_o1_number_of_machines(sandbox: TripSandbox) -> None:
    overview = {
        item["name"]: item["overview"] for item in (await sandbox.run_command("providers", "--json")).data
    }
    await log_in_with_money(sandbox, "")
    (listed,) = (await sandbox.run_command("offers", "-p", "mistgpu", "--all", "--json")).data
    assert overview["mistgpu"]["machines"] == "14" == str(len(listed["offers"]))
    assert overview["1024gpu"]["machines"] == "31"


async def test_o2_difficulty_and_price(sandbox: TripSandbox) -> None:
    result = await sandbox.run_command("providers")
    assert "simple" in result.out
    assert "3-6 CNY/h" in result.out
    assert "1-2 CNY/h" in result.out
    await log_in_with_money(sandbox, "")
    (listed,) = (await sandbox.run_command("offers", "-p", "mistgpu", "--json")).data
    assert all(
        300 <= int(float(offer["tariff"]["price"]["value"]) * 100) <= 600 for offer in listed["offers"]
    )


async def test_f1_log_in_with_phone_number_or_mail(sandbox: TripSandbox) -> None:
    async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["mistgpu"]) as client:
        form = {"username": "13800000000", "password": "secret-word"}
        assert (await client.post("/signup/", data=form)).status_code == 302
    result = await sandbox.run_command(
        "login", "mistgpu", "-f", "username=13800000000", "--stdin", "password", input_text="secret-word\n"
    )
    assert result.code == 0, result.err
    assert (await sandbox.run_command("whoami", "--json")).data == [
        {"provider": "mistgpu", "account": "13800000000"}
    ]
    assert (await sandbox.run_command("balance", "mistgpu", "--json")).code == 0
    assert (await sandbox.run_command("logout", "mistgpu")).code == 0
    assert (await sandbox.run_command("balance", "mistgpu")).code == 4


async def test_f2_top_up_by_alipay_counts_once(sandbox: TripSandbox) -> None:
    await log_in_with_money(sandbox, "")
    top_up = (await sandbox.run_command("topup", "mistgpu", "¥100", "--json")).data
    async with httpx2.AsyncClient() as client:
        for _attempt in range(2):
            assert (await client.post(f"{top_up['url']}/settle")).status_code == 200
    (row,) = (await sandbox.run_command("balance", "--json")).data
    assert row["balance"]["available"] == {"amount": "100.00", "minor": 10000, "currency": "CNY"}
    assert (await sandbox.run_command("topup", "mistgpu", "100DBC")).code == 5


async def test_a1_user_address_and_port_from_the_server_list(sandbox: TripSandbox) -> None:
    await log_in_with_money(sandbox)
    lease = await rent_machine(sandbox)
    endpoint = Endpoint(**(await sandbox.run_command("show", lease, "--json")).data["endpoint"])
    assert str(endpoint).startswith("ssh mist@")
    assert Endpoint.parse(str(endpoint)) == endpoint
    result = await sandbox.run_command("exec", lease, "--", "sh", "-c", "echo $USER; exit 7")
    assert (result.code, result.out.strip()) == (7, "mist")
    assert (await sandbox.run_command("release", lease)).code == 0


async def test_a1_adopted_by_its_ssh_command_alone(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=60, settings={"mistgpu.api": "off"}) as sandbox:
        access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
        assert access.ssh_command.startswith("ssh mist@")
        assert (await sandbox.run_command("offers", "-p", "mistgpu")).out.count("No offers from") == 1, (
            "its API is off"
        )
        common = (
            "adopt",
            access.ssh_command,
            "-p",
            "mistgpu",
            "--price",
            "3.5CNY/h",
            "--stdin",
            "password",
            "--json",
        )
        result = await sandbox.run_command(*common, input_text=f"{access.password}\n")
        assert result.code == 0, result.err
        lease = result.data["id"]
        assert str(Endpoint(**result.data["endpoint"])) == access.ssh_command
        assert result.data["machine_facts"]["pythons"]
        assert (await sandbox.run_command("exec", lease, "echo $USER")).out.strip() == "mist"
        assert (await sandbox.run_command("release", lease)).code == 0
        assert list(sandbox.cloud.burning()) == []


async def test_f5_gpu_boots_at_once_and_is_billed_by_the_minute(sandbox: TripSandbox) -> None:
    await log_in_with_money(sandbox)
    lease = await rent_machine(sandbox)
    found = (await sandbox.run_command("show", lease, "--json")).data
    assert found["state"] == "ready"
    released = (await sandbox.run_command("release", lease, "--json")).data
    (charge,) = released["receipt"]["charges"]
    assert charge["kind"] == "usage"
    minutes = int(charge["note"].split()[0])
    price = float(found["offer"]["tariff"]["price"]["value"])
    assert charge["money"]["minor"] == int(price * 100) * minutes // 60


async def test_f6_the_balance_decides_how_long_it_lasts(sandbox: TripSandbox) -> None:
    await log_in_with_money(sandbox, "3.10")
    lease = await rent_machine(sandbox)
    await sandbox.cloud.advance(timedelta(hours=2))
    result = await sandbox.run_command("ls", "--refresh", "--all")
    assert lease in result.out
    assert "余额不足" in result.out
    assert sandbox.cloud.driver.list_machines() == []


async def test_f7_shut_files_stay_fifteen_days_and_come_back(sandbox: TripSandbox, tmp_path: Path) -> None:
    await log_in_with_money(sandbox)
    lease = await rent_machine(sandbox)
    (tmp_path / "data.txt").write_text("precious")
    assert (await sandbox.run_command("push", lease, str(tmp_path / "data.txt"))).code == 0
    assert (await sandbox.run_command("release", lease)).code == 0
    found = (await sandbox.run_command("show", lease, "--json")).data
    assert found["state"] == "kept"
    await sandbox.cloud.advance(timedelta(days=14))
    again = (await sandbox.run_command("-y", "restart", lease, "--json")).data["id"]
    assert (await sandbox.run_command("exec", again, "cat data.txt")).out == "precious"
    assert (await sandbox.run_command("release", again)).code == 0
    await sandbox.cloud.advance(timedelta(days=15, minutes=1))
    result = await sandbox.run_command("-y", "restart", again)
    assert result.code != 0
    assert "precious" not in str(list(sandbox.cloud.root.rglob("data.txt")))
    assert not list(sandbox.cloud.root.rglob("data.txt"))


async def test_f7_the_stop_script_ends_machine_and_billing(sandbox: TripSandbox) -> None:
    await log_in_with_money(sandbox)
    lease = await rent_machine(sandbox)
    stop = "if [ -e /mistgpu/shutdown.sh ]; then sh /mistgpu/shutdown.sh; else sh ~/shutdown.sh; fi"
    await sandbox.run_command("exec", lease, stop)
    for _try in range(50):
        if not sandbox.cloud.driver.list_machines():
            break
        await asyncio.sleep(0.1)
    found = (await sandbox.run_command("ls", "--refresh", "--all", "--json")).data
    assert [item["state"] for item in found] == ["kept"]
    spent = sum(line.amount.amount for line in sandbox.cloud.ledgers()["mistgpu"])
    await sandbox.cloud.advance(timedelta(hours=5))
    assert sum(line.amount.amount for line in sandbox.cloud.ledgers()["mistgpu"]) == spent


async def test_r1_a_python_file_runs(sandbox: TripSandbox, tmp_path: Path) -> None:
    await log_in_with_money(sandbox)
    lease = await rent_machine(sandbox)
    (tmp_path / "train.py").write_text("print(f'{1 + 1}')")
    assert (await sandbox.run_command("push", lease, str(tmp_path / "train.py"))).code == 0
    assert (await sandbox.run_command("exec", lease, "python train.py")).out.strip() == "2"
    assert (await sandbox.run_command("release", lease)).code == 0


async def test_r3_screen_is_installed_listed_and_taken_up(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=60, settings={"mistgpu.missing": "screen"}) as sandbox:
        await log_in_with_money(sandbox)
        lease = await rent_machine(sandbox)
        assert (await sandbox.run_command("exec", lease, "command -v screen")).code != 0
        result = await sandbox.run_command(
            "start", lease, "--name", "training", "--", "sh", "-c", "echo begun; sleep 60"
        )
        assert result.code == 0, result.err
        (session,) = (await sandbox.run_command("sessions", lease, "--json")).data
        assert session["id"].endswith(".training")
        assert session["attached"] is False
        assert await sandbox.cloud.cut_connections() >= 0
        assert "begun" in (await sandbox.run_command("logs", lease, "training")).out
        again = await sandbox.run_command(
            "start", lease, "--name", "training", "--", "sh", "-c", "echo twice"
        )
        assert again.code == 0
        assert "twice" not in (await sandbox.run_command("logs", lease, "training")).out
        assert (await sandbox.run_command("stop", lease, "training")).code == 0
        assert (await sandbox.run_command("sessions", lease, "--json")).data == []
        assert (await sandbox.run_command("release", lease)).code == 0


async def test_r4_a_shut_server_takes_the_session_with_it(sandbox: TripSandbox) -> None:
    await log_in_with_money(sandbox)
    lease = await rent_machine(sandbox)
    assert (await sandbox.run_command("start", lease, "--name", "long", "--", "sleep", "600")).code == 0
    assert (await sandbox.run_command("-y", "release", lease)).code == 0
    result = await sandbox.run_command("logs", lease, "long")
    assert result.code == 6
    assert "not running" in result.err
    assert "files are kept until" in result.err.lower()
