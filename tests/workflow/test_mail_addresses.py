"""`gpurent email`: an address is bound, or another one in place of it, for a fee that the user agrees to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.errors import InputRequired, UsageError
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

OLD, NEW = "old@sandbox.example", "student@sandbox.example"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path) as made:
        async with made.open_application() as application:
            await application.account_commands.log_in("1024gpu", {})
            await made.add_dbc(application, "10")
        yield made


def list_fees(sandbox: TripSandbox) -> list[int]:
    entries = sandbox.cloud.simulators_by_name["1024gpu"].list_ledger_entries()
    return [-entry.amount.amount for entry in entries if entry.kind == "binding"]


async def bind(sandbox: TripSandbox, address: str) -> None:
    """Bind an address whose mail nobody reads."""
    async with sandbox.open_application() as application:
        wallet = application.logins.find_account("1024gpu")
    sandbox.get_simulator_state("1024gpu").emails[wallet] = address


@pytest.mark.parametrize(
    "before", [OLD, pytest.param("", marks=pytest.mark.nightly)], ids=["changed", "bound"]
)
async def test_an_address_is_bound_for_a_fee(sandbox: TripSandbox, before: str) -> None:
    if before:
        await bind(sandbox, before)
    shown = await sandbox.run_command("email", "1024gpu")
    assert shown.out.strip() == (
        f"1024gpu: {before} is bound" if before else "1024gpu: no e-mail address is bound"
    )
    asked = await sandbox.run_command("email", "1024gpu", NEW)
    assert asked.code == InputRequired.exit_code
    assert f"gpurent -y email 1024gpu {NEW}" in asked.err
    assert list_fees(sandbox) == []
    done = await sandbox.run_command("-y", "email", "1024gpu", NEW, "--json")
    assert done.code == 0, done.err
    assert done.data == {"provider": "1024gpu", "email": NEW}
    (fee,) = list_fees(sandbox)
    assert 0 < fee < 10**8
    again = await sandbox.run_command("email", "1024gpu", NEW)
    assert (again.code, again.out.strip()) == (0, f"1024gpu: {NEW} is bound")
    assert list_fees(sandbox) == [fee]
    async with sandbox.open_application() as application:
        (total,) = await application.bookkeeping.sum_spending()
        assert total.spent.amount == fee
        trips = await application.trip_tracker.list_trips()
    assert [trip.is_open for trip in trips] == [False] * len(trips)


async def test_a_provider_without_e_mail_says_so(sandbox: TripSandbox) -> None:
    refused = await sandbox.run_command("email", "mistgpu", NEW)
    assert refused.code == UsageError.exit_code
    assert "mistgpu needs no e-mail address" in refused.err
