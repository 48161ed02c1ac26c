"""A machine that is shut down and still billed: what is said and asked first, its start, its costs, its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.lease import LeaseState
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import ConfirmationRequired, Declined, LeaseGone, SoldOut, Spent, UsageError
from gpurent.workflow.trips.machine_work import TripResult
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

RENT = TripSpec(provider="vast")


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=3) as made:
        yield made


async def log_in(sandbox: TripSandbox, application: Application) -> None:
    fields = sandbox.cloud.simulators_by_name["vast"].make_login_fields()
    await application.account_commands.log_in("vast", dict(fields))
    account = sandbox.get_simulator_state("vast").accounts[0].id
    async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["vast"]) as client:
        assert (await client.post(f"/sandbox/pay/{account}/20/settle")).status_code == 200


async def test_the_cost_of_a_stop_is_said_and_asked(sandbox: TripSandbox) -> None:
    user = ScriptedUser(confirms=False)
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        lease = await application.trips.rent(RENT)
        with pytest.raises(Declined):
            await application.machine_stops.stop_machine(lease.id)
        question = user.questions[-1]
        assert question.text == f"Shut {lease.id} down?"
        price = lease.offer.stopped_price
        assert price is not None
        said = "\n".join(question.details)
        assert f"costs {price.cost(timedelta(days=1))} a day until you release it" in said
        assert "may be sold out by then" in said
        assert (await application.leases.get_lease(lease.id)).state is LeaseState.READY
    async with sandbox.open_application(ScriptedUser(agrees_to_price=None)) as application:
        with pytest.raises(ConfirmationRequired):
            await application.machine_stops.stop_machine(lease.id)


@pytest.mark.nightly
async def test_stop_start_and_release_on_the_command_line(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in(sandbox, application)
    lease = (await sandbox.run_command("-y", "rent", "-p", "vast", "--json")).data["id"]
    assert (await sandbox.run_command("exec", lease, "--", "touch", "kept")).code == 0
    stopped = await sandbox.run_command("-y", "shutdown", lease)
    assert stopped.code == 0, stopped.err
    assert "stopped, still billed" in stopped.out
    assert f"gpurent restart {lease}" in stopped.out
    assert (await sandbox.run_command("ls", "--json")).data[0]["state"] == "stopped"
    refused = await sandbox.run_command("exec", lease, "--", "ls")
    assert refused.code == LeaseGone.exit_code
    assert "Start it again, which costs money" in refused.err
    asked = await sandbox.run_command("restart", lease)
    assert asked.code == ConfirmationRequired.exit_code
    again = await sandbox.run_command("-y", "restart", lease, "--json")
    assert again.code == 0, again.err
    assert again.data["id"] == lease
    listed = await sandbox.run_command("exec", lease, "--", "ls")
    assert "kept" in listed.out, listed.err
    assert (await sandbox.run_command("-y", "shutdown", lease)).code == 0
    assert (await sandbox.run_command("-y", "release", lease)).code == 0
    assert list(sandbox.cloud.burning()) == []
    await require_equal_books(sandbox)


async def require_equal_books(sandbox: TripSandbox) -> None:
    """The ledger has what the simulator charged, to a millionth a machine and day."""
    checked = await sandbox.run_command("reconcile", "vast", "--json")
    assert checked.code == 0, checked.out + checked.err
    entries = sandbox.cloud.simulators_by_name["vast"].list_ledger_entries()
    charged = -sum(entry.amount.amount for entry in entries if entry.kind == "usage")
    async with sandbox.open_application() as application:
        totals = await application.bookkeeping.sum_spending()
    assert [total.spent.amount for total in totals] == [charged]


async def test_a_machine_whose_gpus_were_taken_is_not_started_and_says_what_it_costs(
    sandbox: TripSandbox,
) -> None:
    async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
        await log_in(sandbox, application)
        lease = await application.trips.rent(RENT)
        stopped = await application.machine_stops.stop_machine(lease.id)
        assert stopped.state is LeaseState.STOPPED
        state = sandbox.get_simulator_state("vast")
        state.rent_by_others(next(state.iter_instances()).machine.machine_id)
        with pytest.raises(SoldOut) as caught:
            await application.lease_changes.restart(lease.id)
        assert caught.value.burning == (lease.id,)
        assert caught.value.spent is Spent.NO
        assert f"gpurent release {lease.id}" in caught.value.hint
        assert (await application.leases.get_lease(lease.id)).state is LeaseState.STOPPED
        assert not [record for record in await application.store.list_open_trips() if record.kind == "start"]
        # A start that was interrupted is not continued: the machine says how it went.
        trip = await application.trip_tracker.begin_trip("start", RENT, lease.id)
        with pytest.raises(UsageError, match="was interrupted; it is stopped, still billed now"):
            await application.trips.resume(trip.id)
        assert not await application.store.list_open_trips()
        await application.releases.release_lease(lease.id)
    assert list(sandbox.cloud.burning()) == []


async def test_a_service_with_a_pace_never_has_to_refuse_a_call(tmp_path: Path) -> None:
    user = ScriptedUser(confirms=True)
    async with (
        trip_sandbox(tmp_path, {"vast.pacing": "on"}, speed=60, machines=3) as sandbox,
        sandbox.open_application(user) as application,
    ):
        await log_in(sandbox, application)
        leases = await asyncio.gather(*(application.trips.rent(RENT) for _number in range(2)))
        await application.machine_stops.stop_machine(leases[0].id)
        await asyncio.gather(*(application.releases.release_lease(lease.id) for lease in leases))
        assert list(sandbox.cloud.burning()) == []
    assert not [event.text for event in user.events if "429" in event.text]


async def run_detached(application: Application, folder: Path, wanted: TripSpec = RENT) -> TripResult:
    spec = evolve(
        wanted,
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("echo done > result.txt; sleep 10000",)),
        results=ResultsSpec(paths=("result.txt",)),
        limits=TripLimits(results_grace=timedelta(days=2)),
    )
    return await application.trips.run(spec, detach=True)


async def test_the_results_on_a_stopped_machine_are_fetched_when_its_trip_is_resumed(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    await asyncio.to_thread(folder.mkdir)
    user = ScriptedUser(confirms=True)
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        begun = await run_detached(application, folder)
        await asyncio.sleep(1)
        await application.machine_stops.stop_machine(begun.lease_id)
        with pytest.raises(LeaseGone) as caught:
            await application.trips.resume(begun.trip_id)
        lease = await application.leases.get_lease(begun.lease_id)
        assert lease.state is LeaseState.STOPPED, "its files are not given up"
        assert "is shut down; its files are kept and cost" in caught.value.hint
        assert f"gpurent resume {begun.trip_id}" in caught.value.hint
        with pytest.raises(LeaseGone):
            await application.trips.resume(begun.trip_id)
    assert (folder / "result.txt").read_text() == "done\n"
    assert list(sandbox.cloud.burning()) == []
