"""Trips whose machine was shut down to keep their results: cancelled, resumed, and started again by other commands."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.lease import LeaseState
from gpurent.domain.money import CNY, Money
from gpurent.domain.question import Question
from gpurent.domain.trip import ResultsSpec, TripRecord
from gpurent.errors import Declined, GpurentError, LeaseError, ResultsMissing
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.reliability.test_repeated_commands import Killed
from tests.workflow.test_failures import check_nothing_burns, log_in_with_money, make_project
from tests.workflow.test_results import WRITE_OUT, fail_trip
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

START_CALL = "/user/start/*"
REFUSAL = '<html><body><div class="alert-danger">服务器正在运行</div></body></html>'


class KeepingUser(ScriptedUser):
    """Agrees to everything but the loss of results."""

    async def confirm(self, question: Question) -> bool:
        await super().confirm(question)
        return not question.id.startswith("cancel-loss:")


async def keep_results(sandbox: TripSandbox, application: Application, root: Path) -> TripRecord:
    """Run a trip whose results cannot be written here: the file ``home/out`` is in the way."""
    await log_in_with_money(sandbox, application)
    folder = make_project(
        root,
        train=WRITE_OUT + f"import pathlib\npathlib.Path({str(root / 'home')!r}).mkdir()\n"
        f"pathlib.Path({str(root / 'home' / 'out')!r}).write_text('in the way')\n",
    )
    error = await fail_trip(application, folder, results=ResultsSpec(paths=("out",), dir=str(root / "home")))
    assert isinstance(error, ResultsMissing), error
    (trip,) = await application.trip_tracker.list_trips()
    assert (await application.leases.get_lease(trip.lease)).state is LeaseState.KEPT
    return trip


def list_usage(sandbox: TripSandbox) -> Money:
    used = [line.amount.amount for line in sandbox.cloud.ledgers()["mistgpu"] if line.kind == "usage"]
    return Money(-sum(used), CNY)


async def test_a_cancelled_trip_downloads_its_kept_results(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            trip = await keep_results(sandbox, application, tmp_path)
        shown = await sandbox.run_command("trips", "show", trip.id)
        assert "Waiting for: its results" in shown.out
        asked = await sandbox.run_command("trips", "cancel", trip.id)
        assert asked.code == 11
        assert f"Its results are still on {trip.lease}" in asked.err
        check_nothing_burns(sandbox)
        async with sandbox.open_application(KeepingUser(confirms=True)) as application:
            with pytest.raises(Declined, match="results are not complete") as caught:
                await application.trip_cancellation.cancel_trip(trip.id)
            (burning,) = caught.value.burning
            assert (await application.trip_tracker.get_trip(trip.id)).lease == burning
            assert await application.machine_timers.find_deadline(await application.leases.get_lease(burning))
        (tmp_path / "home" / "out").unlink()
        done = await sandbox.run_command("-y", "trips", "cancel", trip.id)
        assert done.code == 0, done.err
        assert (tmp_path / "home" / "out" / "deep" / "a.pt").read_text() == "weights"
        assert f"Paid {list_usage(sandbox)}," in done.out, "the receipt is that of both leases"
        check_nothing_burns(sandbox)


async def test_a_trip_whose_kept_files_are_deleted_is_closed_with_its_costs(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            trip = await keep_results(sandbox, application, tmp_path)
        await sandbox.cloud.advance(timedelta(days=16))
        assert (await sandbox.run_command("trips", "cancel", trip.id)).code == 11, "seen absent only once"
        await sandbox.cloud.advance(timedelta(minutes=1))
        done = await sandbox.run_command("trips", "cancel", trip.id)
        assert done.code == 0, done.err
        assert "were not downloaded" in done.err
        assert f"Paid {list_usage(sandbox)}," in done.out


@pytest.mark.nightly
async def test_a_trip_beside_a_restart_that_is_under_way(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        trip = await keep_results(sandbox, application, tmp_path)
        (tmp_path / "home" / "out").unlink()
        held = await sandbox.cloud.faults.add(
            ServiceFault(service="mistgpu", method="POST", path=START_CALL, hold=True)
        )
        restart = asyncio.create_task(application.lease_changes.restart(trip.lease))
        await held.wait_until_applied()
        for command in (("resume", trip.id), ("-y", "trips", "cancel", trip.id), ("release", trip.lease)):
            refused = await sandbox.run_command(*command)
            assert refused.code == 6, refused.out + refused.err
            assert (await application.trip_tracker.get_trip(trip.id)).lease == trip.lease
        await sandbox.cloud.faults.clear()
        again = await restart
        assert [lease.id for lease in await application.leases.list_leases()] == [again.id], (
            "no other is left"
        )
        assert (await application.trip_tracker.get_trip(trip.id)).lease == again.id
        refused = await sandbox.run_command("release", trip.lease)
        assert (refused.code, f"gpurent release {again.id}" in refused.err) == (6, True)
        asked = await sandbox.run_command("release", again.id)
        assert asked.code == 11
        assert f"results of trip {trip.id} have not been downloaded" in asked.err
        assert (await application.trips.resume(trip.id)).lease_id == again.id
        assert (tmp_path / "home" / "out" / "deep" / "a.pt").read_text() == "weights"
        check_nothing_burns(sandbox)


@pytest.mark.parametrize("is_typed_again", [True, False])
@pytest.mark.nightly
async def test_a_restart_that_is_finished_by_another_command_is_the_trips(
    is_typed_again: bool, tmp_path: Path
) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        trip = await keep_results(sandbox, application, tmp_path)
        (tmp_path / "home" / "out").unlink()
        store, swap = application.store, application.store.swap_lease

        async def die(before: object, after: object) -> bool:
            raise Killed

        store.swap_lease = die  # type: ignore[method-assign]
        with pytest.raises(Killed):
            await application.lease_changes.restart(trip.lease)
        store.swap_lease = swap  # type: ignore[method-assign]
        with pytest.raises(LeaseError, match="unfinished order") as caught:
            await application.trips.resume(trip.id)
        assert "gpurent resume " in caught.value.hint
        restart = (await application.trip_tracker.list_trips())[-1]
        if is_typed_again:
            assert (await application.lease_changes.restart(trip.lease)).id == restart.lease
            with pytest.raises(LeaseError, match=f"was started again as {restart.lease}"):
                await application.lease_changes.restart(trip.lease)
        else:
            await application.trips.resume(restart.id)
        assert (await application.trip_tracker.get_trip(trip.id)).lease == restart.lease
        assert (await application.trips.resume(trip.id)).lease_id == restart.lease
        check_nothing_burns(sandbox)


@pytest.mark.nightly
async def test_a_refused_restart_leaves_nothing_behind(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        trip = await keep_results(sandbox, application, tmp_path)
        (tmp_path / "home" / "out").unlink()
        fault = await sandbox.cloud.faults.add(
            ServiceFault(service="mistgpu", method="POST", path=START_CALL, body=REFUSAL)
        )
        for _attempt in range(2):
            with pytest.raises(LeaseError, match="服务器正在运行"):
                await application.trips.resume(trip.id)
            assert await application.leases.list_leases() == []
            assert (await application.trip_tracker.get_trip(trip.id)).lease == trip.lease
        await sandbox.cloud.faults.clear(fault.id)
        await application.trips.resume(trip.id)
        assert (tmp_path / "home" / "out" / "deep" / "a.pt").read_text() == "weights"
        check_nothing_burns(sandbox)


@pytest.mark.nightly
async def test_a_machine_that_was_started_on_the_providers_page_is_adopted_for_its_trip(
    tmp_path: Path,
) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            trip = await keep_results(sandbox, application, tmp_path)
            kept = await application.leases.get_lease(trip.lease)
            await sandbox.cloud.advance(timedelta(minutes=10))
            await sandbox.get_simulator_state("mistgpu").start_server("student", kept.ref, "Abcdefgh1")
            for attempt in (application.trips.resume, application.trip_cancellation.cancel_trip):
                with pytest.raises(GpurentError) as caught:
                    await attempt(trip.id)
                assert f"gpurent orphans --adopt {kept.ref}" in caught.value.hint
            record = await application.trip_tracker.get_trip(trip.id)
            assert (record.is_open, record.lease) == (True, trip.lease)
            assert await application.leases.list_leases() == []
        (tmp_path / "home" / "out").unlink()
        adopted = await sandbox.run_command("-y", "orphans", "--adopt", kept.ref)
        assert adopted.code == 0, adopted.err
        asked = await sandbox.run_command("exec", trip.lease, "true")
        assert "no order of yours moved it" in asked.err
        (fingerprint,) = re.findall(r"--fingerprint (\S+)", asked.err)
        connected = await sandbox.run_command("connect", trip.lease, "--fingerprint", fingerprint)
        assert connected.code == 0, connected.err
        done = await sandbox.run_command("resume", trip.id)
        assert done.code == 0, done.err
        assert (tmp_path / "home" / "out" / "deep" / "a.pt").read_text() == "weights"
        check_nothing_burns(sandbox)
