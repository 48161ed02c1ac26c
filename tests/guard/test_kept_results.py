"""The guard and results that are missing: it keeps them by the same table as a trip, and no longer than allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.job import JobState
from gpurent.domain.lease import LeaseState
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import ResultsMissing
from tests.guard.running_guard import running_guard
from tests.guard.virtual_sandbox import VirtualSandbox, get_first_outcome, is_lease_over, wait_until_true
from tests.workflow.trip_sandbox import ScriptedUser

pytestmark = pytest.mark.virtual_time
HOUR = timedelta(hours=1)


@pytest.fixture
async def prepaid(tmp_path: Path) -> AsyncIterator[VirtualSandbox]:
    async with VirtualSandbox.open_sandbox(tmp_path, "1024gpu", "dbc") as made:
        yield made


@pytest.fixture
async def metered(tmp_path: Path) -> AsyncIterator[VirtualSandbox]:
    async with VirtualSandbox.open_sandbox(tmp_path, "mistgpu") as made:
        yield made


async def test_a_running_machine_is_released_when_the_grace_period_is_over(prepaid: VirtualSandbox) -> None:
    user = ScriptedUser()
    job = prepaid.make_job(user, lines=2)
    async with prepaid.open_application(user) as application:
        await application.account_commands.log_in("1024gpu", {})
        await prepaid.add_dbc(application, "90000")
        spec = job.make_spec("1024gpu", TripLimits(term=timedelta(days=1), results_grace=HOUR))
        spec = evolve(spec, results=evolve(spec.results, paths=("uot", "out.txt")))
        end = await application.trips.run(spec, detach=True)
        async with running_guard(application):
            await wait_until_true(job.results.exists)
            kept_at = application.clock.now()
            lease = await application.leases.get_lease(end.lease_id)
            assert lease.state is LeaseState.READY
            assert (await application.trip_tracker.get_trip(end.trip_id)).is_open
            await wait_until_true(lambda: get_first_outcome(application, end.trip_id))
        assert (await application.trip_tracker.get_trip(end.trip_id)).outcome_text == "stopped: grace"
        assert application.clock.now() - kept_at <= HOUR + timedelta(minutes=15)
        assert job.results.read_text().endswith("done\n"), "what can be had is downloaded first"
        assert "uot does not exist" in "".join(event.text for event in user.events)
    assert list(prepaid.list_burning()) == []


@pytest.mark.nightly
async def test_a_machine_that_is_kept_for_results_outlives_the_grace_period_while_a_job_runs(
    prepaid: VirtualSandbox,
) -> None:
    user = ScriptedUser()
    job = prepaid.make_job(user, lines=2)
    async with prepaid.open_application(user) as application:
        await application.account_commands.log_in("1024gpu", {})
        await prepaid.add_dbc(application, "90000")
        spec = job.make_spec("1024gpu", TripLimits(term=timedelta(days=1), results_grace=HOUR))
        spec = evolve(spec, results=evolve(spec.results, paths=("uot", "out.txt")))
        with pytest.raises(ResultsMissing):
            await application.trips.run(spec)
        (trip,) = await application.trip_tracker.list_trips()
        machine = application.machine_commands
        await machine.start_job(
            trip.lease, "mine", JobSpec(command=("sleep", "1000000"), launcher="plain"), "."
        )
        until = application.clock.now() + 3 * HOUR

        async def is_late() -> bool:
            return application.clock.now() > until

        async with running_guard(application):
            await wait_until_true(is_late)
            assert (await application.leases.get_lease(trip.lease)).state is LeaseState.READY
            assert (await machine.show_log(trip.lease, "mine", False)).state is JobState.RUNNING
            timer = await application.store.find_machine_timer(trip.lease)
            assert timer is not None
            assert timer.until is not None
            assert timer.until > application.clock.now()
            assert "because it is in use: job mine" in "".join(event.text for event in user.events)
            await machine.stop_job(trip.lease, "mine")
            await wait_until_true(lambda: get_first_outcome(application, trip.id))
        assert (await application.trip_tracker.get_trip(trip.id)).outcome_text == "stopped: grace"
    assert list(prepaid.list_burning()) == []


async def test_an_idle_machine_whose_results_are_missing_keeps_its_files(
    metered: VirtualSandbox,
) -> None:
    metered.write_config('[guard]\nidle = "30m"\nidle_load = "100%"\nwarn_before = "5m"\n')
    user = ScriptedUser()
    (project := metered.root / "project").mkdir()
    (here := metered.root / "here").mkdir()
    spec = TripSpec(
        upload=UploadSpec(folder=str(project)),
        job=JobSpec(command=("mkdir sub; echo x > sub/file; exec sleep 100000",)),
        results=ResultsSpec(paths=("sub/elif",), dir=str(here)),
        provider="mistgpu",
    )
    async with metered.open_application(user) as application:
        await metered.log_in_to_mistgpu(application, "100")
        end = await application.trips.run(spec, detach=True)
        async with running_guard(application):
            await wait_until_true(lambda: is_lease_over(application, end.lease_id))
        assert (await application.leases.get_lease(end.lease_id)).state is LeaseState.KEPT
        trip = await application.trip_tracker.get_trip(end.trip_id)
        assert trip.is_open
        assert f"gpurent resume {trip.id}" in "".join(event.text for event in user.events)
        assert list(metered.list_burning()) == []
        resumed = await application.trips.resume(
            trip.id, change_results=lambda results: evolve(results, paths=("sub/file",))
        )
        assert resumed.exit_code, "the guard stopped the job"
        assert (here / "sub" / "file").read_text() == "x\n"
    assert list(metered.list_burning()) == []
