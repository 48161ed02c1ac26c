"""A machine that another gpurent command released while its trip was being executed."""

from __future__ import annotations

import posixpath

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.trip import TripSpec
from gpurent.errors import LeaseGone
from gpurent.locale import _, join_list
from gpurent.ports.store import TripStore
from gpurent.workflow.connection.transfers import work_folder


async def explain_foreign_release(
    store: TripStore, trip_id: str, spec: TripSpec, lease: Lease, error: LeaseGone
) -> None:
    """If a command of the user released ``lease`` under the trip, say so, and where its results are."""
    releases = [record for record in await store.list_trips(lease.id) if record.kind == "release"]
    if not releases:
        return
    error.message = _("{lease} was released by another gpurent command while trip {trip} used it").format(
        lease=lease.id, trip=trip_id
    )
    steps = {step.name.rpartition(".")[2] for step in await store.list_steps(trip_id) if step.done_at}
    names = [] if "download" in steps else [*spec.results.paths]
    lines = [error.hint]
    if names and lease.state is LeaseState.KEPT:
        sources = join_list(posixpath.join(work_folder(trip_id, spec.upload), name) for name in names)
        lines.append(
            _(
                "If that command did not download the results, start the machine again with: gpurent restart "
                "{lease}; it then has a new name, to pull from: {sources}"
            ).format(lease=lease.id, sources=sources)
        )
    elif names:
        lines.append(
            _("Results that were not downloaded before are lost: {names}").format(names=join_list(names))
        )
    error.hint = "\n".join(line for line in lines if line)
