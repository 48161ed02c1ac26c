"""What a trip does on its machines: connect, examine, upload, set up, run the job."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext

from attrs import evolve, frozen

from gpurent.domain.money import Money
from gpurent.domain.offer import Order
from gpurent.domain.receipt import Receipt
from gpurent.domain.session import Job
from gpurent.domain.trip import AgreedPrice, TripSpec, Upload
from gpurent.errors import GpurentError
from gpurent.workflow.connection.jobs import JobRunners, SeenJob
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.connection.transfers import work_folder
from gpurent.workflow.runtime.durable_steps import RESUMABLE, TripContext
from gpurent.workflow.runtime.waiting import cancel_and_wait, in_background, wait_for_first
from gpurent.workflow.steps.connect import ConnectStep
from gpurent.workflow.steps.doctor import DoctorStep
from gpurent.workflow.steps.download import DownloadStep
from gpurent.workflow.steps.launch import LaunchStep
from gpurent.workflow.steps.monitor import MonitorStep
from gpurent.workflow.steps.setup import SetupStep
from gpurent.workflow.steps.upload import UploadStep
from gpurent.workflow.timing.timers import TripTimers


@frozen(kw_only=True)
class Stay:
    """The files are uploaded to a machine, or the ``job`` runs on it, or both.

    ``order``: how it is rented, for the ``agreed`` price; None: it is there, or the user rents it by hand.
    ``budget``: the trip's, in the account's currency where that is known.
    """

    upload: bool
    job: bool
    budget: Money | None
    order: Order | None = None
    agreed: AgreedPrice = AgreedPrice()


@frozen(kw_only=True)
class TripEnd:
    """How a trip ended. ``under_way``: the job runs on without us. ``exit_code`` is the job's own."""

    trip: str
    lease: str
    under_way: bool = False
    exit_code: int | None = None
    receipt: Receipt | None = None


@frozen
class MachineWork:
    """Over one connection, which is closed at the end."""

    connect: ConnectStep
    doctor: DoctorStep
    preparation: Preparation
    job: TripJob
    timers: TripTimers

    async def do_work(
        self, trip: TripContext, leg: str, spec: TripSpec, lease_id: str, stay: Stay, *, detach: bool
    ) -> TripEnd:
        """Connect, examine, upload, set up, run the job; as far as the stay is for that."""
        with self.preparation.begin_login(trip, leg, spec, lease_id, stay):
            async with await self.connect.connect(trip, leg, lease_id) as connection:
                if stay.job and trip.done_at(f"{leg}.launch") is None:
                    await self.doctor.examine(trip, leg, connection, spec)
                await self.preparation.prepare(trip, leg, connection, spec, stay)
                if stay.job:
                    return await self.job.run_job(trip, leg, connection, spec, stay.budget, detach=detach)
                if spec.rent_only:
                    await self.timers.arm_timer(trip, leg, connection, spec)
                return TripEnd(trip=trip.trip, lease=lease_id)


@frozen
class Preparation:
    connections: Connections
    upload: UploadStep
    setup: SetupStep
    timers: TripTimers

    def begin_login(
        self, trip: TripContext, leg: str, spec: TripSpec, lease_id: str, stay: Stay
    ) -> AbstractContextManager[object]:
        """On a machine that we were on before, the login for the files goes on beside the connection's own."""
        if not stay.upload or trip.done_at(f"{leg}.push") is not None:
            return nullcontext()
        first = _needed_first(spec) if stay.job else None
        return self.upload.begin_login(
            trip.trip, self.connections.leases.find_lease(lease_id), first or spec.upload
        )

    async def prepare(
        self, trip: TripContext, leg: str, connection: ReconnectingConnection, spec: TripSpec, stay: Stay
    ) -> None:
        """Upload and set up, as far as the stay is for that."""
        sets_up = stay.job and spec.job.setup.wanted
        if stay.upload and sets_up and spec.job.setup.needs is not None:
            first = _needed_first(spec)
            if first is not None:
                await self.upload.upload(trip, f"{leg}.needs", connection, first)
            await self._upload_beside_setup(trip, leg, connection, spec, stay.budget)
            return
        if stay.upload:
            await self.upload.upload(trip, f"{leg}.push", connection, spec.upload)
        if sets_up:
            await self._set_up(trip, leg, connection, spec, stay.budget)

    async def _set_up(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        budget: Money | None,
    ) -> None:
        # A setup may hang, and costs time: the machine's timer holds from here on.
        await self.timers.arm_timer(trip, leg, connection, spec)
        await self.setup.set_up(trip, leg, connection, spec, budget)

    async def _upload_beside_setup(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        budget: Money | None,
    ) -> None:
        """Each over a connection of its own, so that neither waits for the other."""
        async with (
            self.connections.to(connection.lease_id, trip.trip) as own,
            in_background(self._set_up(evolve(trip, current=""), leg, own, spec, budget)) as setting_up,
            in_background(self.upload.upload(trip, f"{leg}.push", connection, spec.upload)) as uploading,
        ):
            try:
                await asyncio.gather(uploading, setting_up)
            except GpurentError as error:
                # What is resumed finds the setup where it is. Else nobody would ever ask for it again.
                if not isinstance(error, RESUMABLE) and not setting_up.done():
                    await cancel_and_wait(setting_up)
                    await self.setup.abandon(trip.trip, own, spec.job.session)
                raise


def _needed_first(spec: TripSpec) -> Upload | None:
    """What is uploaded before the rest, for the setup; None: nothing."""
    setup = spec.job.setup
    return evolve(spec.upload, include=setup.needs) if setup.wanted and setup.needs else None


@frozen
class TripJob:
    runners: JobRunners
    timers: TripTimers
    launch: LaunchStep
    monitor: MonitorStep
    download: DownloadStep

    async def run_job(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        budget: Money | None,
        *,
        detach: bool,
    ) -> TripEnd:
        """``detach``: it is left as soon as it runs."""
        job = self.runners.job_of(spec, connection.lease, trip.trip, work_folder(trip.trip))
        await self.launch.launch(trip, leg, connection, spec.job, job)
        await self.timers.arm_timer(trip, leg, connection, spec)
        if detach:
            return TripEnd(trip=trip.trip, lease=connection.lease_id, under_way=True)
        ended = await self._watch(trip, leg, connection, spec, job, budget)
        if spec.results.paths:
            await self.download.download(trip, leg, connection, spec)
        return TripEnd(trip=trip.trip, lease=connection.lease_id, exit_code=ended.status.exit_code)

    async def _watch(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        job: Job,
        budget: Money | None,
    ) -> SeenJob:
        """The job's end; its results are downloaded meanwhile, where the user wants that."""
        watching = self.monitor.monitor(trip, leg, connection, spec, job, budget)
        if not spec.results.paths or spec.results.every is None:
            return await watching
        downloading = self.download.download_in_background(
            trip, connection.lease_id, spec, spec.results.every
        )
        # The first that ends is the job, or a failure of either; what is half downloaded is completed at the end.
        tasks = await wait_for_first(watching, downloading)
        ended: SeenJob = next(task for task in tasks if not task.cancelled()).result()
        return ended
