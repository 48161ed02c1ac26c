"""Whether work goes on on a trip's machine when the trip ends or fails: its own job, another trip, a job of `start`."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.trip import StepRecord, TripSpec
from gpurent.errors import GpurentError
from gpurent.locale import _, join_list
from gpurent.ports.store import TripStore
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.leases import add_burning_lease
from gpurent.workflow.runtime.unforeseen import add_hint
from gpurent.workflow.steps.setup import setup_job_name
from gpurent.workflow.trips.release_review import ReleaseLosses, ReleaseReview


@frozen(kw_only=True)
class MachineUse:
    """``own_job``: why the trip's own job runs or may run; empty if it does not. ``others``: what else does."""

    own_job: str = ""
    others: tuple[str, ...] = ()

    def describe_others(self, lease_id: str) -> str:
        """Return why the machine was not released."""
        text = _(
            "{lease} was not released, because it is in use: {uses}. It costs money until you release it: "
            "gpurent release {lease}"
        )
        return text.format(lease=lease_id, uses=join_list(self.others))

    def explain_open_trip(self, error: GpurentError, lease: Lease) -> None:
        """Let ``error`` say why neither the trip nor its machine was ended."""
        add_burning_lease(error, lease)
        reason = self.own_job or _("it was adopted, and something may be running there")
        text = _("Neither the trip nor {lease} was ended: {why}.")
        add_hint(error, text.format(lease=lease.id, why=reason))


@frozen
class MachineUseFinder:
    """Asks the Store and the machine. What cannot be known counts as use where there are signs of it."""

    store: TripStore
    review: ReleaseReview

    async def find_use(self, trip: TripContext, spec: TripSpec, lease_id: str) -> MachineUse:
        losses = await self.review.find_losses(lease_id)
        if losses.lease.is_over:
            return MachineUse()
        job = spec.job.name or trip.id
        others = evolve(
            losses,
            trips=tuple([other for other in losses.trips if not await self._is_done(trip, other.id)]),
            jobs=tuple(other for other in losses.jobs if other.name not in (job, setup_job_name(trip.id))),
            results=(),
            unseen_reason=losses.unseen_reason if await self._is_shared(trip, spec, losses.lease) else "",
        )
        return MachineUse(
            own_job=_find_own_job(await trip.store.list_steps(trip.id), losses, job),
            others=tuple(others.list_lines()),
        )

    async def _is_shared(self, trip: TripContext, spec: TripSpec, lease: Lease) -> bool:
        """Return whether others than this trip have used the machine, as far as it is recorded."""
        if spec.lease or lease.adopted_at is not None:
            return True
        return any(x.id != trip.id and x.kind == "run" for x in await self.store.list_trips(lease.id))

    async def _is_done(self, trip: TripContext, other: str) -> bool:
        """Return whether the machine is not needed for the trip ``other``: it is this one, or only its end is left.

        Otherwise two trips that end at the same time would each leave the machine to the other.
        """
        if other == trip.id:
            return True
        record = await self.store.find_trip(other)
        if record is None:
            return True
        done = _list_done(await self.store.list_steps(other))
        has_results = "download" in done or not record.spec.results.are_wanted
        return "monitor" in done and has_results and not record.spec.limits.keep


def _list_done(steps: Sequence[StepRecord]) -> set[str]:
    return {step.name.rpartition(".")[2] for step in steps if step.done_at is not None}


def _find_own_job(steps: Sequence[StepRecord], losses: ReleaseLosses, job: str) -> str:
    """Return that the job runs, or why it may: it was started, or could have been, and the machine cannot be asked."""
    done = _list_done(steps)
    if "monitor" in done:
        return ""
    if any(running.name == job for running in losses.jobs):
        return _("the trip's job is running there")
    may_run = "connect" in done or any(step.name.endswith(".launch") for step in steps)
    if losses.unseen_reason and may_run:
        return _("it could not be asked whether a job is running there")
    return ""
