"""Open trips: shown, resumed all at once, cancelled; one that ordered nothing does not stay open for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.trip import JobSpec, ResultsSpec, TripSpec, UploadSpec
from gpurent.errors import Declined, LeaseError, UnavailableError, UsageError
from tests.reliability.test_odd_answers import JOB, ODD_ANSWERS
from tests.reliability.test_repeated_commands import Killed, log_in_at_mistgpu, rent_at_1024gpu
from tests.workflow.trip_sandbox import ScriptedUser, trip_sandbox

MISTGPU = TripSpec(provider="mistgpu")


def make_spec(root: Path, number: int = 0) -> TripSpec:
    """Return a trip whose job writes out.txt and ends once the file ``go`` exists."""
    folder = root / f"project{number}"
    folder.mkdir()
    (folder / "train.py").write_text(
        'print("begun", flush=True)\nopen("early.txt", "w").write("early")\n'
        + JOB.format(signal=str(root / "go"))
    )
    return TripSpec(
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out.txt",)),
        provider="mistgpu",
    )


@pytest.mark.nightly
async def test_all_open_trips_are_resumed_at_once(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            specs = [make_spec(tmp_path, number) for number in range(2)]
            with (tmp_path / "project1/train.py").open("a") as script:
                script.write("raise SystemExit(3)\n")
            await asyncio.gather(*(application.trips.run(spec, detach=True) for spec in specs))
            with pytest.raises(UsageError, match="which trip") as caught:
                await application.trips.resume()
            for trip in await application.open_trips.list_open_trips():
                assert trip.id in caught.value.message
            assert "resume --all" in caught.value.hint
            trips = [trip.id for trip in await application.open_trips.list_open_trips()]
        (tmp_path / "go").touch()
        resumed = await sandbox.run_command("resume", "--all")
        assert resumed.code == 3, "the worst of all"
        lines = resumed.out.splitlines()
        assert sorted(line.partition(":")[0] for line in lines) == sorted(trips)
        assert len([line for line in lines if line.endswith("exit code 3")]) == 1
        assert [(tmp_path / f"project{number}/out.txt").read_text() for number in range(2)] == ["done"] * 2
        assert list(sandbox.cloud.burning()) == []
        nothing = await sandbox.run_command("resume", "--all", "--json")
        assert (nothing.code, nothing.data) == (0, [])


async def test_a_cancelled_trip_ends_its_job_and_releases_its_machine(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        spec = evolve(make_spec(tmp_path), results=ResultsSpec(paths=("early.txt",)))
        async with sandbox.open_application() as application:
            end = await application.trips.run(spec, detach=True)
            with pytest.raises(Declined):
                await application.trip_cancellation.cancel_trip(end.trip_id)
        shown = await sandbox.run_command("trips", "show", end.trip_id)
        assert f"gpurent trips cancel {end.trip_id}" in shown.out
        assert "Waiting for: its job" in shown.out
        assert "starting the job" in shown.out
        async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
            done = await application.trip_cancellation.cancel_trip(end.trip_id)
            assert done.receipt is not None
            assert done.receipt.totals()[0].spent.amount > 0
            report = await application.trip_reports.get_report(end.trip_id)
            assert (report.record.outcome_text, report.commands) == ("cancelled", [])
            with pytest.raises(UsageError, match="has ended"):
                await application.trip_cancellation.cancel_trip(end.trip_id)
        assert list(sandbox.cloud.burning()) == []
        assert (tmp_path / "project0/early.txt").read_text() == "early"


@pytest.mark.nightly
async def test_a_cancelled_trip_on_a_lease_of_the_user_keeps_the_machine(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
            lease = await application.trips.rent(MISTGPU)
            spec = evolve(make_spec(tmp_path), lease=lease.id, results=ResultsSpec())
            end = await application.trips.run(spec, detach=True)
            done = await application.trip_cancellation.cancel_trip(end.trip_id)
            assert (done.lease, done.receipt) == (lease.id, None)
            status = await application.machine_commands.show_log(lease.id, end.trip_id, follow=False)
            assert status.exit_code != 0, "the job was stopped"
            assert (await application.leases.get_lease(lease.id)).state is LeaseState.READY
            await application.releases.release_lease(lease.id)


async def test_a_trip_that_ordered_nothing_is_only_closed(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            await sandbox.cloud.faults.add(ODD_ANSWERS["server-error"])
            for _number in range(2):
                with pytest.raises(UnavailableError):
                    await application.trips.rent(MISTGPU)
            cancelled, left = await application.open_trips.list_open_trips()
            done = await application.trip_cancellation.cancel_trip(cancelled.id)
            assert (done.lease, done.receipt) == ("", None), "nobody was asked"
            assert await application.open_trips.close_unordered_trips() == []
            await sandbox.cloud.advance(timedelta(hours=25))
            assert await application.open_trips.close_unordered_trips() == [left.id]
            assert await application.open_trips.list_open_trips() == []
            closed = await application.trip_tracker.get_trip(left.id)
            assert closed.outcome_text == "failed: nothing ordered"


async def test_a_lease_whose_order_was_never_sent_is_closed_without_its_provider(tmp_path: Path) -> None:
    user = ScriptedUser()

    def die(event: Event) -> None:
        if event.kind is EventKind.STEP_STARTED and event.step == "leg0.confirm":
            raise Killed

    user.watchers.append(die)
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application(user) as application:
            for _number in range(2):
                with pytest.raises(Killed):
                    await application.trips.rent(MISTGPU)
        fault = await sandbox.cloud.faults.add(ODD_ANSWERS["server-error"])
        async with sandbox.open_application() as application:
            first, second = await application.open_trips.list_open_trips()
            receipt = await application.releases.release_lease(first.lease)
            assert receipt.charges == ()
            done = await application.trip_cancellation.cancel_trip(second.id)
            assert done.receipt is None
            assert await application.open_trips.list_open_trips() == []
            assert await application.leases.list_leases() == []
            assert await application.store.find_open_order(first.lease) is None
            assert application.lease_copies.list_copies() == []
        assert fault.matched == 0, "the provider was asked nothing"
        assert list(sandbox.cloud.burning()) == []


async def test_a_renewal_that_may_be_paid_is_not_cancelled(tmp_path: Path) -> None:
    user = ScriptedUser()

    def die(event: Event) -> None:
        if event.kind is EventKind.PAID:
            raise Killed

    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(user) as application:
        lease_id = await rent_at_1024gpu(sandbox, application)
        user.watchers.append(die)
        with pytest.raises(Killed):
            await application.lease_changes.renew(lease_id, timedelta(hours=1))
        user.watchers.clear()
        (trip,) = await application.open_trips.list_open_trips()
        with pytest.raises(LeaseError, match="may be paid already"):
            await application.trip_cancellation.cancel_trip(trip.id)
        report = await application.trip_reports.get_report(trip.id)
        assert f"gpurent resume {trip.id}" in report.commands
        assert [order.kind.value for order in report.orders] == ["renew"]
        await application.trips.resume(trip.id)
        await application.releases.release_lease(lease_id)


@pytest.mark.nightly
async def test_show_prints_one_document(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            lease_id = await rent_at_1024gpu(sandbox, application)
            trip = (await application.trip_tracker.list_trips())[-1]
        shown = (await sandbox.run_command("trips", "show", trip.id, "--json")).data
        assert shown["lease"] == lease_id
        assert shown["spec"]["provider"] == "1024gpu"
        assert [order["outcome"] for order in shown["orders"]] == ["completed"]
        assert [payment["bill"] for payment in shown["payments"]][-1] == shown["orders"][0]["key"]
        assert shown["commands"] == [f"gpurent release {lease_id}"]
        text = (await sandbox.run_command("trips", "show", trip.id)).out
        assert "gpu = 2080Ti" in text
        assert shown["payments"][0]["ref"] in text
