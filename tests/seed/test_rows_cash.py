"""The wiki's rows about invoices, cashing out and topping up, by the real command line over the sandbox's sockets."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import segno

from gpurent.cli.output import Line
from tests.cli.test_qr import read_matrix
from tests.seed.test_rows_metered import log_in_with_money, rent_machine
from tests.workflow.test_market import make_rates_section, write_config
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

BLOCKS = set(" ▀▄█")


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=3) as made:
        yield made


def find_code(out: str) -> list[list[int]]:
    """Return the QR code that was printed among other lines."""
    lines = [line for line in out.splitlines() if len(line) > 20 and set(line) <= BLOCKS]
    return read_matrix([Line(line) for line in lines])


def make_code(text: str) -> list[list[int]]:
    return [list(row) for row in segno.make(text, error="m", micro=False).matrix]


async def log_in_with_dbc(sandbox: TripSandbox, dbc: str) -> str:
    address = str((await sandbox.run_command("login", "1024gpu", "--json")).data["account"])
    async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["dbc"]) as client:
        form = {"address": address, "amount": dbc}
        assert (await client.post("/sandbox/faucet", json=form)).status_code == 200
    return address


# F2


@pytest.fixture
async def waiting_topup(
    sandbox: TripSandbox,
) -> AsyncIterator[tuple[TripSandbox, asyncio.subprocess.Process, str, list[str]]]:
    """Run `gpurent topup` of 100 CNY; yield the sandbox, the process, the payment URL and the output so far."""
    await log_in_with_money(sandbox, "")
    process = await sandbox.start_command("topup", "mistgpu", "100")
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"Waiting. Balance: 0.00 CNY" in await process.stderr.readline()
    output_lines: list[str] = []
    while not output_lines or "shut down immediately" not in output_lines[-1]:
        output_lines.append((await process.stdout.readline()).decode().rstrip("\n"))
    url = next(line.removeprefix("Page: ") for line in output_lines if line.startswith("Page: "))
    yield sandbox, process, url, output_lines
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_f2_the_payment_is_a_code_and_its_arrival_is_seen(waiting_topup: Any) -> None:
    sandbox, process, url, output_lines = waiting_topup
    assert url.startswith(sandbox.cloud.urls["mistgpu"] + "/pay/alipay/")
    assert find_code("\n".join(output_lines)) == make_code(url)
    async with httpx2.AsyncClient() as client:
        assert (await client.post(f"{url}/settle")).status_code == 200
    out, _err = await process.communicate()
    assert process.returncode == 0
    assert "The money has arrived. Balance: 100.00 CNY" in out.decode()


async def test_f2_leaving_the_wait_says_that_what_was_paid_arrives(waiting_topup: Any) -> None:
    sandbox, process, url, _output_lines = waiting_topup
    os.kill(process.pid, signal.SIGINT)
    _out, err = await process.communicate()
    assert process.returncode == 130
    assert "gpurent paid nothing; a payment you made will still arrive" in err.decode()
    async with httpx2.AsyncClient() as client:
        assert (await client.post(f"{url}/settle")).status_code == 200
    (row,) = (await sandbox.run_command("balance", "mistgpu", "--json")).data
    assert row["balance"]["available"]["minor"] == 10000


async def test_f2_scripts_get_one_document_and_do_not_wait_unless_asked(sandbox: TripSandbox) -> None:
    await log_in_with_money(sandbox, "")
    top_up = (await sandbox.run_command("topup", "mistgpu", "3", "--json")).data
    assert top_up["arrived"] is False
    assert top_up["qr"] == top_up["url"]
    sandbox.extra_environment["PYTHONIOENCODING"] = "ascii"
    plain = await sandbox.run_command("topup", "mistgpu", "3", "--no-wait")
    assert plain.code == 0, plain.err
    assert "/pay/alipay/" in plain.out
    assert not set("▀▄█") & set(plain.out), "no blocks where they cannot be shown"


async def test_f2_the_wallet_advises_what_is_missing_and_says_why(sandbox: TripSandbox) -> None:
    address = await log_in_with_dbc(sandbox, "5000")
    result = await sandbox.run_command("topup", "1024gpu", "--no-wait")
    assert result.code == 0, result.err
    assert "Recommended top-up: 75,000 DBC" in result.out
    assert "60,000 DBC is held as the deposit" in result.out
    assert f"buy_1?address_user={address}" in result.out
    assert find_code(result.out) == make_code(address)
    top_up = (await sandbox.run_command("topup", "1024gpu", "--json")).data
    assert top_up["amount"]["amount"] == top_up["recommendation"]["money"]["amount"] == "75000.00000000"
    await log_in_with_dbc(sandbox, "75000")
    result = await sandbox.run_command("topup", "1024gpu")
    assert result.code == 2
    assert "The balance is 80,000 DBC" in result.err or "balance is 80,000 DBC" in result.err
    assert (await sandbox.run_command("topup", "mistgpu")).code != 0


# O6


async def spend_205_cny(sandbox: TripSandbox) -> int:
    """Rent the most expensive machine for as long as 205 CNY last; return the fen that were spent."""
    await log_in_with_money(sandbox, "205")
    await rent_machine(sandbox)
    await sandbox.cloud.advance(timedelta(hours=200))
    return 20500


async def test_o6_invoice_from_200_cny_spent(sandbox: TripSandbox) -> None:
    await log_in_with_money(sandbox, "20")
    result = await sandbox.run_command("invoice", "mistgpu")
    assert result.code == 0, result.err
    assert (
        "once you have spent 200.00 CNY; so far you have spent 0.00 CNY, 200.00 CNY too little" in result.out
    )
    assert (await sandbox.run_command("invoice", "mistgpu", "-r")).code == 5
    lease = await rent_machine(sandbox)
    await sandbox.cloud.advance(timedelta(hours=1))
    assert (await sandbox.run_command("release", lease)).code == 0
    found = (await sandbox.run_command("invoice", "mistgpu", "--json")).data["invoice"]
    ledger = sandbox.cloud.ledgers()["mistgpu"]
    used = -sum(line.amount.amount for line in ledger if line.kind == "usage")
    assert found["spent"]["minor"] == used > 0, "the account's own books"
    assert found["ready"] is False


async def test_o6_invoice_request_is_guided_and_counts_once(sandbox: TripSandbox) -> None:
    fen = await spend_205_cny(sandbox)
    result = await sandbox.run_command("invoice", "mistgpu")
    assert f"An invoice for {fen // 100}.00 CNY" in result.out
    assert "/user/invoice/" in result.out
    fields = ("-f", "title=一所大学", "-f", "tax_id=91440000X", "-f", "email=lab@example.org")
    assert (await sandbox.run_command("invoice", "mistgpu", "-r", *fields)).code == 11, "nobody said yes"
    asked = await sandbox.run_command("-y", "invoice", "mistgpu", "200", "-r", *fields, "--json")
    assert asked.code == 0, asked.err
    assert asked.data["number"] == "FP00001"
    simulator: Any = sandbox.cloud.simulators_by_name["mistgpu"]
    (kept,) = simulator.state.accounts["student"].invoices
    assert (kept.title, kept.fen) == ("一所大学", 20000)
    assert (await sandbox.run_command("-y", "invoice", "mistgpu", "6", "-r", *fields)).code == 5, (
        "only 5 are open"
    )
    assert (await sandbox.run_command("-y", "invoice", "mistgpu", "-r", *fields)).code == 0
    assert "has been invoiced" in (await sandbox.run_command("invoice", "mistgpu")).out
    evidence = {r.path: r.evidence.value for r in simulator.list_routes()}
    assert evidence["/user/invoice/"] == "assumed"


async def test_o6_1024gpu_gives_none(sandbox: TripSandbox) -> None:
    await log_in_with_dbc(sandbox, "1")
    result = await sandbox.run_command("invoice", "1024gpu")
    assert result.code == 2
    assert "does not issue invoices" in result.err


# O7


async def test_o7_cash_out_by_selling_with_the_value_at_a_dated_rate(sandbox: TripSandbox) -> None:
    write_config(sandbox, make_rates_section(sandbox))
    address = await log_in_with_dbc(sandbox, "20000")
    before = sandbox.cloud.ledgers()["dbc"]
    result = await sandbox.run_command("withdraw", "1024gpu")
    assert result.code == 0, result.err
    assert "https://www.dbctrade.io/trade/sell_1" in result.out
    assert "20,000 DBC is now worth about 369.20 CNY" in result.out, "20000 x 0.0026 x 7.10"
    assert "1 DBC = 0.0026 USD" in result.out
    assert "1 USD = 7.10 CNY: the bank's board" in result.out
    part = (await sandbox.run_command("withdraw", "1024gpu", "1000DBC", "--in", "USD", "--json")).data
    assert part["worth"] == {"amount": "2.60", "minor": 260, "currency": "USD"}
    assert part["rates"][0]["value"] == "0.0026"
    assert (await sandbox.run_command("withdraw", "1024gpu", "20001DBC")).code == 5
    assert (await sandbox.run_command("withdraw", "1024gpu", "100CNY")).code == 5, "no silent conversion"
    assert sandbox.cloud.ledgers()["dbc"] == before, f"nothing left {address}"


async def test_o7_mistgpu_pays_nothing_out(sandbox: TripSandbox) -> None:
    await log_in_with_money(sandbox, "")
    result = await sandbox.run_command("withdraw", "mistgpu")
    assert result.code == 2
    assert "does not support withdrawals" in result.err
