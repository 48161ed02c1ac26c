"""The output of a job, from its machine, or from what was kept of it here when the machine is no more."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from gpurent.domain.id_matching import find_id, suggest_id
from gpurent.domain.job import JobState, JobStatus
from gpurent.domain.lease import Lease
from gpurent.domain.trip import TripRecord
from gpurent.errors import LeaseError, UsageError
from gpurent.locale import _
from gpurent.ports.kept_logs import KeptLogs
from gpurent.ports.store import Store
from gpurent.ports.terminal import Display
from gpurent.workflow.connection.jobs import ObservedJob
from gpurent.workflow.connection.machine_commands import MachineCommands


@frozen(kw_only=True)
class ShownLog:
    """The output of the job with the name ``job``.

    ``status`` None: it is not known how it ended. ``path``: the file that was kept; None: from the machine.
    """

    job: str
    status: JobStatus | None
    path: Path | None = None


@frozen
class JobOutputs:
    store: Store
    machine_commands: MachineCommands
    kept: KeptLogs
    display: Display

    async def show_log(
        self,
        given: str,
        name: str = "",
        *,
        follow: bool = False,
        session: str = "",
        silent: bool = False,
        lines: int | None = None,
    ) -> ShownLog:
        """Show the output of a job, unless ``silent``: of the lease or trip ``given``, from its machine if it has one.

        ``name``: of the job, by default the trip's. ``lines``: only so many at the end, and with ``follow`` what comes.
        """
        lease, trip = await self._find_target(given)
        if trip is None and lease is not None and (not name or lease.is_over):
            trip = await self._find_trip_of(lease, name)
        job = name or (trip.spec.job.name or trip.id if trip is not None else "job")
        path = self.kept.find_path(trip.id) if trip is not None else None
        if lease is not None and not (lease.is_over and path):  # one that is over says so
            status = await self.machine_commands.show_log(
                lease.id, job, follow, session, silent=silent, lines=lines
            )
            return ShownLog(job=job, status=status)
        if trip is None or path is None:
            raise LeaseError(
                _("{name}: nothing of its job's output was kept here").format(name=given),
                hint=_("The output of a trip's job is kept as far as gpurent saw it. See: gpurent trips"),
            )
        if not silent:
            self.display.show_output(self.kept.read(trip.id, lines))
        return ShownLog(job=job, status=await self._find_status(trip), path=path)

    async def _find_target(self, given: str) -> tuple[Lease | None, TripRecord | None]:
        """Return the lease that is meant, or the trip with its lease, if it has one."""
        leases = {lease.id: lease for lease in await self.store.list_leases()}
        trips = {trip.id: trip for trip in await self.store.list_trips()}
        found = find_id(given, [*leases, *trips])
        if found is None:
            raise LeaseError(
                _("no such lease or trip: {given}").format(given=given),
                hint=suggest_id(
                    given, [*leases, *trips], "\n".join((_("See: gpurent ls --all"), _("See: gpurent trips")))
                ),
            )
        if found in leases:
            return leases[found], None
        trip = trips[found]
        if not trip.spec.job.command:
            raise UsageError(_("{trip} has no job").format(trip=trip.id), hint=_("See: gpurent trips"))
        return leases.get(trip.lease), trip

    async def _find_trip_of(self, lease: Lease, name: str) -> TripRecord | None:
        """Return the last trip that ran a job, called ``name`` if that is given, on the lease."""
        trips = [
            trip
            for trip in await self.store.list_trips(lease.id)
            if trip.spec.job.command and name in ("", trip.spec.job.name or trip.id)
        ]
        return trips[-1] if trips else None

    async def _find_status(self, trip: TripRecord) -> JobStatus | None:
        """Return how the trip saw its job end."""
        seen = await self.store.list_recorded_steps(trip.id, ".monitor", ObservedJob)
        status = seen[-1][1].status if seen else None
        return status if status is not None and status.state is JobState.ENDED else None
