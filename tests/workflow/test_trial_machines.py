"""A provider's trial of a machine: never chosen by itself, and shown with what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.errors import LeaseError
from tests.workflow.test_failures import make_project
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path) as made:
        async with made.open_application() as application:
            await application.account_commands.log_in("1024gpu", {})
            await made.add_dbc(application, "100")
        yield made


@pytest.mark.nightly
async def test_a_trial_is_rented_by_its_name(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    machine = next(iter(sandbox.get_simulator_state("1024gpu").machines))
    assert "trial" not in (await sandbox.run_command("offers", "-p", "1024gpu")).out
    wanted = ("-p", "1024gpu", "--machine", f"{machine}-trial", "--for", "15m")
    planned = await sandbox.run_command(
        "plan", *wanted, "--no-staged", "--no-results", "--", "true", folder=folder
    )
    assert planned.code == 0, planned.err
    assert "1 DBC" in planned.out
    staged = await sandbox.run_command("-y", "run", *wanted, "--no-results", "--", "true", folder=folder)
    assert staged.code == LeaseError.exit_code
    assert "--no-staged" in staged.err
    rented = await sandbox.run_command("-y", "rent", *wanted, "--json")
    assert rented.code == 0, rented.err
    lease = rented.data["id"]
    assert (await sandbox.run_command("exec", lease, "--", "true")).code == 0
    assert (await sandbox.run_command("-y", "release", lease)).code == 0
    again = await sandbox.run_command("-y", "rent", *wanted)
    assert again.code == LeaseError.exit_code
    assert "每个机器只能试用一次" in again.err
    assert list(sandbox.cloud.burning()) == []
    books = await sandbox.run_command("reconcile", "1024gpu")
    assert books.code == 0, books.out
