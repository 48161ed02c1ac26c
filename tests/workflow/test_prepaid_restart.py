"""A prepaid container whose time ran out: its files are kept, and the user pays to start it again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.lease import LeaseState
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import ResultsSpec, TripLimits
from gpurent.errors import ConfirmationRequired, LeaseGone, UsageError
from tests.workflow.test_failures import make_project, make_spec
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

HOUR = timedelta(hours=1)
RENT = ("-y", "rent", "-p", "1024gpu", "--for", "2h", "--json")
SLEEP = "import time\nopen('made', 'w').write('m')\nprint('up', flush=True)\ntime.sleep(600)\n"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path) as made:
        async with made.open_application() as application:
            await application.account_commands.log_in("1024gpu", {})
            await made.add_dbc(application, "200000")
        yield made


async def rent_until_the_end(sandbox: TripSandbox) -> str:
    """Rent a GPU with a file on it until its time is over; return the lease."""
    rented = await sandbox.run_command(*RENT)
    assert rented.code == 0, rented.err
    lease = str(rented.data["id"])
    assert (await sandbox.run_command("exec", lease, "--", "touch", "kept")).code == 0
    await sandbox.cloud.advance(3 * HOUR)
    assert "shut down, files kept" in (await sandbox.run_command("ls", "--all", "--refresh")).out
    return lease


@pytest.mark.nightly
@pytest.mark.parametrize("options", [("--for", "3h"), ("--cpu",)], ids=["gpu", "cpu"])
async def test_started_again_on_the_command_line(sandbox: TripSandbox, options: tuple[str, ...]) -> None:
    lease = await rent_until_the_end(sandbox)
    asked = await sandbox.run_command("restart", lease, *options)
    assert asked.code == ConfirmationRequired.exit_code
    again = await sandbox.run_command("-y", "restart", lease, *options, "--json")
    assert again.code == 0, again.err
    assert again.data["id"] != lease
    assert (again.data["offer"]["hardware"]["gpus"] == 0) == (options == ("--cpu",))
    new = again.data["id"]
    listed = await sandbox.run_command("exec", new, "--", "ls")
    assert "kept" in listed.out, listed.err
    assert (await sandbox.run_command("-y", "release", new)).code == 0
    assert list(sandbox.cloud.burning()) == []
    books = await sandbox.run_command("reconcile", "1024gpu")
    assert books.code == 0, books.out


@pytest.mark.nightly
async def test_a_term_that_the_provider_does_not_sell_is_refused(sandbox: TripSandbox) -> None:
    lease = await rent_until_the_end(sandbox)
    refused = await sandbox.run_command("restart", lease, "--for", "10m")
    assert refused.code == UsageError.exit_code
    assert "minimum rental time" in refused.err


@pytest.mark.nightly
async def test_results_of_a_trip_whose_time_ran_out_cost_another_hour_that_is_asked_for(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    user = ScriptedUser()
    folder = make_project(tmp_path, sleep=SLEEP)
    spec = evolve(
        make_spec(folder, "sleep.py"),
        provider="1024gpu",
        requirements=Requirements(gpu="2080Ti"),
        results=ResultsSpec(paths=("made",), dir=str(tmp_path / "home")),
        limits=TripLimits(term=2 * HOUR),
    )
    async with sandbox.open_application(user) as application:
        trip = await application.trips.run(spec, detach=True)
        await sandbox.cloud.advance(3 * HOUR)
        with pytest.raises(LeaseGone) as caught:
            await application.trips.resume(trip.trip_id)
        assert f"gpurent resume {trip.trip_id}" in caught.value.hint
        before = (await application.account_money.get_balance("1024gpu")).available
        user.agrees_to_price = None
        with pytest.raises(ConfirmationRequired):
            await application.trips.resume(trip.trip_id)
        assert (await application.account_money.get_balance("1024gpu")).available == before
        assert (await application.leases.get_lease(trip.lease_id)).state is LeaseState.KEPT
        user.agrees_to_price = True
        with pytest.raises(LeaseGone):
            await application.trips.resume(trip.trip_id)
        assert (tmp_path / "home" / "made").read_text() == "m"
        assert not (await application.trip_tracker.get_trip(trip.trip_id)).is_open
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_back_to_the_cpu_container_on_the_command_line(sandbox: TripSandbox) -> None:
    lease = str((await sandbox.run_command(*RENT)).data["id"])
    started = await sandbox.run_command("start", lease, "--name", "mine", "--", "sleep", "600")
    assert started.code == 0, started.err
    asked = await sandbox.run_command("downgrade", lease)
    assert asked.code == ConfirmationRequired.exit_code
    assert "job mine has been running" in asked.err
    assert (await sandbox.run_command("exec", lease, "--", "touch", "kept")).code == 0
    down = await sandbox.run_command("-y", "downgrade", lease, "--for", "3h", "--json")
    assert down.code == 0, down.err
    assert (down.data["id"], down.data["offer"]["hardware"]["gpus"]) == (lease, 0)
    again = await sandbox.run_command("-y", "downgrade", lease)
    assert again.code == UsageError.exit_code
    listed = await sandbox.run_command("exec", lease, "--", "ls")
    assert "kept" in listed.out, listed.err
    up = await sandbox.run_command("-y", "upgrade", lease, "--for", "1h", "--json")
    assert up.code == 0, up.err
    assert (await sandbox.run_command("-y", "release", lease)).code == 0
    assert list(sandbox.cloud.burning()) == []
    books = await sandbox.run_command("reconcile", "1024gpu")
    assert books.code == 0, books.out
