"""What a trip does on its machines: connect, examine, upload, set up, run the job."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext

from attrs import evolve, frozen

from gpurent.domain.job import Job, JobState
from gpurent.domain.money import Money
from gpurent.domain.offer import Order
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import AgreedPrice, TripSpec, UploadSpec
from gpurent.errors import GpurentError
from gpurent.workflow.connection.checkpoints import get_interim_interval, get_interim_spec
from gpurent.workflow.connection.jobs import JobRunners, ObservedJob
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.connection.result_inputs import UploadedInputs
from gpurent.workflow.connection.results_download import ResultsOutcome
from gpurent.workflow.connection.transfers import work_folder
from gpurent.workflow.runtime.durable_steps import RESUMABLE_ERRORS, TripContext
from gpurent.workflow.runtime.waiting import cancel_and_wait, run_in_background, wait_for_first
from gpurent.workflow.steps.connect import ConnectStep
from gpurent.workflow.steps.doctor import DoctorStep
from gpurent.workflow.steps.download import DownloadStep
from gpurent.workflow.steps.launch import LaunchStep
from gpurent.workflow.steps.monitor import MonitorStep
from gpurent.workflow.steps.setup import SetupStep
from gpurent.workflow.steps.upload import INPUTS, UploadStep
from gpurent.workflow.timing.timers import TripTimers


@frozen(kw_only=True)
class LegSpec:
    """What one leg does: upload the files, run the ``job``, or both.

    ``order`` is how the machine is rented, for the ``agreed`` price; None if it exists or the user rents it manually.
    ``budget`` is the trip's, in the account's currency if that is known.
    """

    upload: bool
    job: bool
    budget: Money | None
    order: Order | None = None
    agreed: AgreedPrice = AgreedPrice()


@frozen(kw_only=True)
class TripResult:
    """How a trip ended. ``job_running``: it was detached, and the job keeps running. ``exit_code`` is the job's.

    ``folder``: where it worked on the machine, relative to the home folder; empty if only a machine was wanted.
    """

    trip_id: str
    lease_id: str
    folder: str = ""
    job_running: bool = False
    exit_code: int | None = None
    receipt: Receipt | None = None
    results: ResultsOutcome | None = None


@frozen
class LegRunner:
    """Runs one leg over one connection, which is closed at the end."""

    connect: ConnectStep
    doctor: DoctorStep
    preparation: MachinePreparation
    job: TripJob
    timers: TripTimers

    async def run_leg(
        self, trip: TripContext, leg: str, spec: TripSpec, lease_id: str, leg_spec: LegSpec, *, detach: bool
    ) -> TripResult:
        """Connect, examine, upload, set up, run the job: as much of it as ``leg_spec`` asks for.

        If the trip's job has begun, although that is not recorded, nothing before it is done again.
        """
        is_launched = await trip.step_done_at(f"{leg}.launch") is not None
        may_run = leg_spec.job and await self._may_run_unrecorded(trip, leg, lease_id)
        with await self.preparation.predial_upload(trip, leg, spec, lease_id, leg_spec):
            opening = self.connect.open_connection(trip, leg, lease_id, spec.limits.ready_within)
            async with await opening as connection:
                has_begun = is_launched or (may_run and await self.job.has_begun(trip, connection, spec))
                if not has_begun:
                    if leg_spec.job:
                        await self.doctor.examine_machine(trip, leg, connection, spec)
                    await self.preparation.prepare_machine(trip, leg, connection, spec, leg_spec)
                if leg_spec.job:
                    return await self.job.run_job(
                        trip, leg, connection, spec, leg_spec.budget, detach=detach, has_begun=has_begun
                    )
                if spec.rent_only:
                    await self.timers.arm_timer(trip, leg, connection, spec)
                return TripResult(trip_id=trip.id, lease_id=lease_id)

    async def _may_run_unrecorded(self, trip: TripContext, leg: str, lease_id: str) -> bool:
        """Return whether an earlier execution of the trip may have started the job without a record of it."""
        lease = await self.preparation.connections.leases.get_lease(lease_id)
        return lease.adopted_at is not None or await trip.step_done_at(f"{leg}.connect") is not None


@frozen
class MachinePreparation:
    connections: Connections
    upload: UploadStep
    setup: SetupStep
    timers: TripTimers

    def check_upload(self, spec: TripSpec) -> None:
        """Raise `UsageError` if the trip uploads a folder that must not be uploaded, or its variables are not there."""
        if not spec.rent_only:
            self.upload.guard.check_upload(spec.upload)
            self.setup.runners.variables.check(spec.job)

    async def predial_upload(
        self, trip: TripContext, leg: str, spec: TripSpec, lease_id: str, leg_spec: LegSpec
    ) -> AbstractContextManager[object]:
        """On a known machine, start the login for the upload in parallel with the connection."""
        if not leg_spec.upload or await trip.step_done_at(f"{leg}.upload") is not None:
            return nullcontext()
        first = _find_setup_files(spec) if leg_spec.job else None
        return self.upload.predial_upload(
            trip.id, await self.connections.leases.get_lease(lease_id), first or spec.upload
        )

    async def prepare_machine(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        leg_spec: LegSpec,
    ) -> None:
        """Upload the files and run the setup, as far as ``leg_spec`` asks for them."""
        sets_up = leg_spec.job and spec.job.setup.is_needed
        if leg_spec.upload and sets_up and spec.job.setup.needs is not None:
            first = _find_setup_files(spec)
            if first is not None:
                await self.upload.upload_files(trip, f"{leg}.upload-setup", connection, first)
            await self._upload_during_setup(trip, leg, connection, spec, leg_spec.budget)
        else:
            if leg_spec.upload:
                wanted = get_results_to_change(spec)
                await self.upload.upload_files(trip, f"{leg}.upload", connection, spec.upload, wanted)
            if sets_up:
                await self._set_up(trip, leg, connection, spec, leg_spec.budget)
        # Last, since the uploaded folder may have older ones.
        if leg_spec.upload and spec.attempt > 1 and spec.results.checkpoints:
            await self.upload.upload_checkpoints(trip, f"{leg}.checkpoints", connection, spec)

    async def _set_up(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        budget: Money | None,
    ) -> None:
        # Arm the timer first: a setup may hang, and it costs money.
        await self.timers.arm_timer(trip, leg, connection, spec)
        await self.setup.run_setup(trip, leg, connection, spec, budget)

    async def _upload_during_setup(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        budget: Money | None,
    ) -> None:
        """Upload and set up concurrently, each over its own connection."""
        async with (
            self.connections.make_connection(connection.lease_id, trip.id) as own,
            run_in_background(
                self._set_up(evolve(trip, current_step=""), leg, own, spec, budget)
            ) as setting_up,
            run_in_background(
                self.upload.upload_files(
                    trip, f"{leg}.upload", connection, spec.upload, get_results_to_change(spec)
                )
            ) as uploading,
        ):
            try:
                await asyncio.gather(uploading, setting_up)
            except GpurentError as error:
                # A resumed trip picks up the running setup; if the trip cannot be resumed, nobody would stop it.
                if not isinstance(error, RESUMABLE_ERRORS) and not setting_up.done():
                    await cancel_and_wait(setting_up)
                    await self.setup.stop_setup(trip.id, own, spec.job.session)
                raise


def get_results_to_change(spec: TripSpec) -> tuple[str, ...]:
    """Return the results that may be on the machine from an earlier trip, in the project's folder on a kept machine."""
    if not spec.lease or not spec.upload.project:
        return ()
    return tuple(path for path in spec.results.paths if path != ".")


def _find_setup_files(spec: TripSpec) -> UploadSpec | None:
    """Return the upload that the setup needs first; None if there is none."""
    setup = spec.job.setup
    return evolve(spec.upload, include=setup.needs) if setup.is_needed and setup.needs else None


@frozen
class TripJob:
    runners: JobRunners
    timers: TripTimers
    launch: LaunchStep
    monitor: MonitorStep
    download: DownloadStep

    async def has_begun(self, trip: TripContext, connection: ReconnectingConnection, spec: TripSpec) -> bool:
        """Return whether the trip's job exists on the machine."""
        name = spec.job.name or trip.id
        status = await self.runners.run_with_retry(
            connection, spec.job.session, lambda runner: runner.get_status(name)
        )
        return status.state is not JobState.ABSENT

    async def run_job(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        budget: Money | None,
        *,
        detach: bool,
        has_begun: bool = False,
    ) -> TripResult:
        """Run the job and download its results; with ``detach``, return as soon as it runs.

        ``has_begun``: it was seen on the machine already.
        """
        folder = work_folder(trip.id, spec.upload)
        job = self.runners.make_job(spec, await connection.get_lease(), trip.id, folder)
        job = evolve(job, earlier=await self._find_earlier_results(trip, spec))
        await self.launch.launch_job(trip, leg, connection, spec.job, job, has_begun=has_begun)
        await self.timers.arm_timer(trip, leg, connection, spec)
        if detach:
            return TripResult(trip_id=trip.id, lease_id=connection.lease_id, folder=folder, job_running=True)
        ended = await self._watch_job(trip, leg, connection, spec, job, budget)
        results = await self.download.download_results(trip, leg, connection, spec)
        return TripResult(
            trip_id=trip.id,
            lease_id=connection.lease_id,
            folder=folder,
            exit_code=ended.status.exit_code,
            results=results,
        )

    async def _find_earlier_results(self, trip: TripContext, spec: TripSpec) -> tuple[str, ...]:
        """Return the results that count only if the job changes them: they are no part of the upload."""
        recorded = await trip.store.list_recorded_steps(trip.id, INPUTS, UploadedInputs)
        inputs = {name for _step, found in recorded for name in found.names}
        return tuple(name for name in get_results_to_change(spec) if recorded and name not in inputs)

    async def _watch_job(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        job: Job,
        budget: Money | None,
    ) -> ObservedJob:
        """Watch the job until it ends; meanwhile download its results at an interval, if the user wants that."""
        watching = self.monitor.monitor_job(trip, leg, connection, spec, job, budget)
        every = get_interim_interval(spec.results)
        if every is None:
            return await watching
        downloading = self.download.download_in_background(
            trip, connection.lease_id, get_interim_spec(spec), every
        )
        # The first to finish is the job, or a failure of either; interrupted downloads are completed at the end.
        tasks = await wait_for_first(watching, downloading)
        ended: ObservedJob = next(task for task in tasks if not task.cancelled()).result()
        return ended
