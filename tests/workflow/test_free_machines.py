"""A machine that is shut down free of charge, on the command line; and a provider that tells no prices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from gpurent.errors import SoldOut
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path) as made:
        yield made


async def log_in(sandbox: TripSandbox) -> None:
    fields = sandbox.cloud.simulators_by_name["autodl"].make_login_fields()
    async with sandbox.open_application() as application:
        await application.account_commands.log_in("autodl", dict(fields))
    uid = sandbox.get_simulator_state("autodl").accounts[0].uid
    async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["autodl"]) as client:
        assert (await client.post(f"/sandbox/pay/{uid}/20/settle")).status_code == 200


@pytest.mark.nightly
async def test_stop_start_and_release_on_the_command_line(sandbox: TripSandbox) -> None:
    await log_in(sandbox)
    lease = (await sandbox.run_command("-y", "rent", "-p", "autodl", "--json")).data["id"]
    assert (await sandbox.run_command("exec", lease, "--", "touch", "kept")).code == 0
    stopped = await sandbox.run_command("-y", "shutdown", lease)
    assert stopped.code == 0, stopped.err
    assert "stopped, costs nothing, 0 CNY a day" in stopped.out
    assert "stopped, costs nothing" in (await sandbox.run_command("ls")).out
    shown = (await sandbox.run_command("show", lease)).out
    assert "files deleted at" in shown
    refused = await sandbox.run_command("exec", lease, "--", "ls")
    assert "Its files are kept until" in refused.err
    again = await sandbox.run_command("-y", "restart", lease, "--json")
    assert again.code == 0, again.err
    assert again.data["id"] == lease
    listed = await sandbox.run_command("exec", lease, "--", "ls")
    assert "kept" in listed.out, listed.err
    assert (await sandbox.run_command("-y", "release", lease)).code == 0
    assert list(sandbox.cloud.burning()) == []
    entries = sandbox.cloud.simulators_by_name["autodl"].list_ledger_entries()
    charged = -sum(entry.amount.amount for entry in entries if entry.kind == "usage")
    async with sandbox.open_application() as application:
        totals = await application.bookkeeping.sum_spending()
    assert [total.spent.amount for total in totals] == [charged]


async def test_what_has_no_price_is_counted_and_said(sandbox: TripSandbox) -> None:
    await log_in(sandbox)
    sandbox.extra_environment["GPURENT_AUTODL_PRICES"] = "h800 8.88"
    shown = await sandbox.run_command("offers", "-p", "autodl")
    assert shown.code == 0, shown.err
    assert "8.88 CNY/h" in shown.out
    assert "6 machines were left out, because their provider does not state: price" in shown.out
    sandbox.extra_environment["GPURENT_AUTODL_PRICES"] = ""
    refused = await sandbox.run_command("-y", "rent", "-p", "autodl")
    assert refused.code == SoldOut.exit_code
    assert "does not state: price" in refused.err
    sandbox.extra_environment["GPURENT_AUTODL_PRICES"] = "many"
    assert "PRICES: invalid value" in (await sandbox.run_command("offers", "-p", "autodl")).out
    assert sandbox.get_simulator_state("autodl").accounts[0].instances == []
