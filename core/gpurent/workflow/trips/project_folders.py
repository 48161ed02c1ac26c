"""Where a trip works on its machine: in one folder for each project, so that only what has changed is uploaded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.machine_folders import make_project_folder
from gpurent.domain.trip import TripRecord, TripSpec
from gpurent.locale import _
from gpurent.ports.lease_copies import LeaseCopies
from gpurent.ports.store import TripStore
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.locks import WorkLocks

TRIP_MARK = "{trip}"


def name_results_folder(spec: TripSpec, trip_id: str) -> TripSpec:
    """Return ``spec`` with the trip's id in the name of the results' folder, where the user wants it."""
    results = spec.results
    return evolve(spec, results=evolve(results, dir=results.dir.replace(TRIP_MARK, trip_id)))


@frozen
class ProjectFolders:
    store: TripStore
    copies: LeaseCopies
    locks: WorkLocks
    events: EventEmitter

    @asynccontextmanager
    async def choose_folder(self, spec: TripSpec) -> AsyncIterator[TripSpec]:
        """Yield ``spec`` with the project's folder, unless another trip works in it on the same machine.

        The trip is to be recorded within, so that no other one chooses the same meanwhile.
        """
        if spec.rent_only or spec.upload.fresh or not spec.job.command:
            yield spec
            return
        name = make_project_folder(spec.upload.folder, self.copies.get_installation())
        chosen = evolve(spec, upload=evolve(spec.upload, project=name))
        if not spec.lease:
            yield chosen  # nothing is on the machine yet
            return
        async with self.locks.lock_lease(f"folder-{spec.lease}"):
            other = await self._find_user(spec.lease, name)
            if other is not None:
                text = _("trip {trip} works in the project's folder on {lease}: this one gets its own")
                self.events.emit(EventKind.PROGRESS, text.format(trip=other.id, lease=spec.lease))
            yield spec if other is not None else chosen

    async def _find_user(self, lease: str, project: str) -> TripRecord | None:
        """Return an open trip in that folder: its job may run, or its results may not be on this computer."""
        return next(
            (
                record
                for record in await self.store.list_open_trips()
                if record.spec.upload.project == project and lease in (record.lease, record.spec.lease)
            ),
            None,
        )
