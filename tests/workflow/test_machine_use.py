"""A trip that ends or fails leaves a machine running on which something may be running: its job, another's, a trip."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits
from gpurent.errors import HostKeyChanged, InputRequired, LeaseGone, ResultsMissing
from tests.workflow.test_failures import check_nothing_burns, log_in_with_money, make_project, make_spec
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

SLEEP = "import time\nopen('made', 'w').write('m')\nprint('up', flush=True)\ntime.sleep(60)\n"
END = "import os\nos.makedirs('out')\nopen('out/a', 'w').write('a')\n"
Rented = tuple[TripSandbox, Application, ScriptedUser, Lease]


@pytest.fixture
async def rented(tmp_path: Path) -> AsyncIterator[Rented]:
    """A rented machine, and a project with a long job and a short one."""
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, sleep=SLEEP, end=END)
        spec = evolve(make_spec(folder), job=JobSpec(), results=ResultsSpec(unwanted=True))
        yield sandbox, application, user, await application.trips.rent(spec)


def make_job(lease: Lease, tmp_path: Path, name: str, *results: str, **parts: Any) -> Any:
    spec = make_spec(tmp_path / "project", f"{name}.py", **parts)
    return evolve(
        spec,
        lease=lease.id,
        results=ResultsSpec(paths=results, unwanted=not results, dir=str(tmp_path / name)),
    )


def list_warnings(user: ScriptedUser) -> str:
    return "\n".join(event.text for event in user.events if event.kind is EventKind.WARNING)


async def get_state(application: Application, lease: Lease) -> LeaseState:
    return (await application.leases.refresh_lease(lease.id)).state


async def rekey(sandbox: TripSandbox) -> None:
    (machine,) = sandbox.cloud.driver.list_machines()
    await sandbox.cloud.driver.change_host_key(machine.id)


@pytest.mark.nightly
async def test_a_job_of_start_outlives_a_trip_on_its_machine(rented: Rented, tmp_path: Path) -> None:
    _sandbox, application, user, lease = rented
    await application.machine_commands.start_job(
        lease.id, "mine", JobSpec(command=("sleep", "60"), launcher="plain"), "."
    )
    spec = evolve(make_job(lease, tmp_path, "end", "out"), limits=TripLimits(term=timedelta(days=1)))
    end = await application.trips.run(spec)
    assert (end.exit_code, end.receipt) == (0, None)
    assert (tmp_path / "end" / "out" / "a").read_text() == "a"
    assert await get_state(application, lease) is LeaseState.READY
    assert "job mine has been running since" in list_warnings(user)
    assert f"gpurent release {lease.id}" in list_warnings(user)
    assert user.events[-1].kind is EventKind.TIMER, "which ends the machine all the same"
    trip = (await application.trip_tracker.list_trips(lease.id))[-1]
    assert trip.outcome_text == "done"


@pytest.mark.nightly
async def test_a_job_of_start_outlives_missing_results(rented: Rented, tmp_path: Path) -> None:
    _sandbox, application, _user, lease = rented
    await application.machine_commands.start_job(
        lease.id, "mine", JobSpec(command=("sleep", "60"), launcher="plain"), "."
    )
    with pytest.raises(ResultsMissing) as caught:
        await application.trips.run(make_job(lease, tmp_path, "end", "oot"))
    assert await get_state(application, lease) is LeaseState.READY
    assert lease.id in caught.value.burning


@pytest.mark.nightly
async def test_a_job_of_start_outlives_the_cancelled_trip_that_rented_the_machine(tmp_path: Path) -> None:
    user = ScriptedUser(confirms=True)
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        spec = make_spec(make_project(tmp_path, sleep=SLEEP), "sleep.py")
        begun = await application.trips.run(
            evolve(spec, results=ResultsSpec(paths=("made",), dir=str(tmp_path / "results"))), detach=True
        )
        lease = await application.leases.get_lease(begun.lease_id)
        await application.machine_commands.start_job(
            lease.id, "mine", JobSpec(command=("sleep", "60"), launcher="plain"), "."
        )
        done = await application.trip_cancellation.cancel_trip(begun.trip_id)
        assert (done.lease, done.is_released) == (lease.id, False)
        assert "job mine has been running since" in list_warnings(user)
        assert await get_state(application, lease) is LeaseState.READY
        assert (tmp_path / "results" / "made").read_text() == "m"
        assert not (await application.trip_tracker.get_trip(begun.trip_id)).is_open
        await application.releases.release_lease(lease.id)
        check_nothing_burns(sandbox)


async def test_the_last_of_two_trips_on_a_machine_releases_it(rented: Rented, tmp_path: Path) -> None:
    sandbox, application, _user, lease = rented
    first = await application.trips.run(make_job(lease, tmp_path, "sleep", "made"), detach=True)
    end = await application.trips.run(make_job(lease, tmp_path, "end", "out"))
    assert end.receipt is None
    assert await get_state(application, lease) is LeaseState.READY
    await application.machine_commands.stop_job(lease.id, first.trip_id)
    end = await application.trips.resume(first.trip_id)
    assert end.receipt is not None
    assert (tmp_path / "sleep" / "made").read_text() == "m"
    check_nothing_burns(sandbox)


async def test_a_changed_host_key_ends_neither_the_job_nor_the_trip(rented: Rented, tmp_path: Path) -> None:
    sandbox, application, _user, lease = rented
    assert lease.endpoint is not None
    begun = await application.trips.run(make_job(lease, tmp_path, "sleep", "made"), detach=True)
    await rekey(sandbox)
    for _again in range(2):
        with pytest.raises(InputRequired) as caught:
            await application.trips.resume(begun.trip_id)
        assert caught.value.burning == (lease.id,)
        assert f"gpurent connect {lease.id} --fingerprint SHA256:" in caught.value.hint
        assert f"gpurent resume {begun.trip_id}" in caught.value.hint
        assert "costs nothing" not in caught.value.hint
        assert await get_state(application, lease) is LeaseState.READY
        assert (await application.trip_tracker.get_trip(begun.trip_id)).is_open
    shown = await application.connector.fetch_host_key(lease.endpoint, ())
    with pytest.raises(HostKeyChanged):
        await application.contact_commands.connect(lease.id, "SHA256:" + "A" * 43)
    found = await application.contact_commands.connect(lease.id, shown.fingerprint)
    assert found.fingerprint == shown.fingerprint
    await application.machine_commands.stop_job(lease.id, begun.trip_id)
    assert (await application.trips.resume(begun.trip_id)).receipt is not None
    check_nothing_burns(sandbox)


@pytest.mark.parametrize(
    "names", [pytest.param((), marks=pytest.mark.nightly), ("made",)], ids=["all", "named"]
)
@pytest.mark.nightly
async def test_a_machine_that_was_shut_down_is_restarted_for_results_and_released(
    names: tuple[str, ...], rented: Rented, tmp_path: Path
) -> None:
    sandbox, application, _user, lease = rented
    spec = make_job(lease, tmp_path, "sleep")
    spec = evolve(spec, results=ResultsSpec(paths=names, dir=str(tmp_path / "sleep")))
    begun = await application.trips.run(spec, detach=True)
    await sandbox.get_simulator_state("mistgpu").shut_down_by_user("student", lease.ref)
    with pytest.raises(LeaseGone) as caught:
        await application.trips.resume(begun.trip_id)
    assert f"gpurent resume {begun.trip_id}" in caught.value.hint
    assert caught.value.burning == ()
    with pytest.raises(LeaseGone) as caught:
        await application.trips.resume(begun.trip_id)
    assert (tmp_path / "sleep" / "made").read_text() == "m"
    assert "gpurent restart" not in caught.value.hint, "it was started again, and released"
    assert not (await application.trip_tracker.get_trip(begun.trip_id)).is_open
    check_nothing_burns(sandbox)
