"""What a release of a machine would end or lose, and the question about it."""

from __future__ import annotations

import asyncio
import posixpath
import shlex
from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.job import JobState, JobStatus
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.locks import LockOwner
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.result_paths import drop_nested, get_pattern_base, group_by_folder, is_pattern
from gpurent.domain.trip import TripRecord, TripSpec
from gpurent.errors import ConfirmationRequired, Declined, ResultsMissing
from gpurent.locale import _, join_list
from gpurent.ports.store import TripStore
from gpurent.remote.jobs import parse_job_names, unfinished_jobs_command
from gpurent.roles.transfer_errors import summarize_texts
from gpurent.workflow.connection.jobs import JobRunner, JobRunners
from gpurent.workflow.connection.local_folder import get_results_folder
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.connection.results_download import ResultsDownloader
from gpurent.workflow.connection.transfers import work_folder
from gpurent.workflow.reports.refund_quotes import RefundQuotes
from gpurent.workflow.runtime.locks import WorkLocks
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.unforeseen import to_gpurent_error
from gpurent.workflow.steps.download import describe_outcome

LOOK_SECONDS = 20.0  # how long to try to look at the machine


class ReleaseChoice(Enum):
    RELEASE = "release"
    DOWNLOAD = "download"


@frozen(kw_only=True)
class OpenTrip:
    """An open trip on the lease; ``owner``: the process that executes it, None if there is none."""

    id: str
    owner: LockOwner | None


@frozen(kw_only=True)
class RunningJob:
    """A job on the machine. ``since``: its start; of a job without a trip, by the machine's clock if it states one."""

    name: str
    since: datetime | None


@frozen(kw_only=True)
class MissingResults:
    """The results that ``spec`` names, which were never downloaded."""

    trip_id: str
    spec: TripSpec

    def list_commands(self, lease_id: str) -> list[str]:
        """Return the commands that download them; of a pattern, the folder that it searches."""
        names = [get_pattern_base(name) if is_pattern(name) else name for name in self.spec.results.paths]
        found, work = [], work_folder(self.trip_id, self.spec.upload)
        for group in group_by_folder(drop_nested(names)):
            sources = [posixpath.join(work, group.folder, name) for name in group.names]
            target = get_results_folder(self.spec) / group.folder
            found.append(shlex.join(["gpurent", "pull", lease_id, *sources, "--to", str(target)]))
        return found


@frozen(kw_only=True)
class ReleaseLosses:
    """``unseen_reason``: why the machine could not be looked at; empty if it was, or if it is not running."""

    lease: Lease
    trips: tuple[OpenTrip, ...]
    results: tuple[MissingResults, ...]
    jobs: tuple[RunningJob, ...] = ()
    unseen_reason: str = ""

    def __bool__(self) -> bool:
        return bool(self.trips or self.jobs or self.results or self.unseen_reason)

    def describe(self) -> list[str]:
        """Return one line for each loss, with the lease's id."""
        return [f"{self.lease.id}: {line}" for line in self.list_lines()]

    def list_lines(self) -> list[str]:
        """Return one line for each loss."""
        lines = [
            _("trip {trip} is being executed by {owner}").format(trip=trip.id, owner=trip.owner.describe())
            if trip.owner
            else _("trip {trip} has not ended").format(trip=trip.id)
            for trip in self.trips
        ]
        lines += [
            _("job {name} has been running since {at:%Y-%m-%d %H:%M} UTC").format(name=job.name, at=job.since)
            if job.since is not None
            else _("job {name} is running").format(name=job.name)
            for job in self.jobs
        ]
        lines += [
            _("results of trip {trip} have not been downloaded: {names}").format(
                trip=item.trip_id, names=join_list(item.spec.results.paths)
            )
            for item in self.results
        ]
        if self.unseen_reason:
            lines.append(
                _("the machine could not be asked what is running on it: {why}").format(
                    why=self.unseen_reason
                )
            )
        return lines

    def list_ways_out(self) -> list[str]:
        """Return the commands that lose nothing."""
        lines = [
            _("Go on with the trip: {command}").format(command=f"gpurent resume {trip.id}")
            for trip in self.trips
            if trip.owner is None
        ]
        return lines + [
            _("Download the results: {command}").format(command=command)
            for item in self.results
            for command in item.list_commands(self.lease.id)
        ]


@frozen
class ReleaseReview:
    """Finds what a release would lose, asks, and downloads results first if the user wants that."""

    store: TripStore
    locks: WorkLocks
    connections: Connections
    runners: JobRunners
    downloader: ResultsDownloader
    questions: Questions
    refunds: RefundQuotes

    async def require_release(self, lease_id: str) -> None:
        """Return if nothing would be lost, or if the user wants to release the machine all the same.

        Raises `Declined` or `ConfirmationRequired`; nothing has been released then.
        """
        losses = await self.find_losses(lease_id)
        if not losses:
            return
        money = await self.refunds.list_lines(losses.lease)
        details = [*losses.describe(), *(f"{losses.lease.id}: {line}" for line in money)]
        if not self.questions.can_confirm:
            raise ConfirmationRequired(
                "\n".join(details), hint="\n".join(losses.list_ways_out()), retryable=True
            )
        if await self._ask(losses, details) is ReleaseChoice.DOWNLOAD:
            await self.download_results(losses)

    async def find_losses(self, lease_id: str) -> ReleaseLosses:
        """Look into the Store and, if the machine runs, at the machine."""
        recorded = await self.find_recorded_losses(lease_id)
        jobs, reason = await self._list_jobs(recorded.lease)
        starts = await self._list_job_starts(recorded.lease.id)
        jobs = tuple(evolve(job, since=starts.get(job.name, job.since)) for job in jobs)
        return evolve(recorded, jobs=jobs, unseen_reason=reason)

    async def _list_job_starts(self, lease_id: str) -> dict[str, datetime]:
        """Return when the trips of the lease started their jobs (provider time), by the job's name."""
        return {
            record.spec.job.name or record.id: step.done_at
            for record in await self.store.list_trips(lease_id)
            for step in await self.store.list_steps(record.id)
            if step.name.endswith(".launch") and step.done_at
        }

    async def find_recorded_losses(self, lease_id: str) -> ReleaseLosses:
        """Look only into the Store."""
        lease = await self.connections.leases.get_lease(lease_id)
        records = (
            [] if lease.is_over else [r for r in await self.store.list_trips(lease.id) if r.kind != "guard"]
        )
        return ReleaseLosses(
            lease=lease,
            trips=tuple(await self._list_open_trips(records)),
            results=tuple([item for record in records if (item := await self._find_missing_results(record))]),
        )

    async def _list_open_trips(self, records: Sequence[TripRecord]) -> Sequence[OpenTrip]:
        found = [
            (record, OpenTrip(id=record.id, owner=await self.locks.find_trip_owner(record.id)))
            for record in records
            if record.is_open
        ]
        # Of a trip without a job, only its process is lost.
        return [trip for record, trip in found if trip.owner or record.kind == "run"]

    async def _find_missing_results(self, record: TripRecord) -> MissingResults | None:
        done = {
            step.name.rpartition(".")[2] for step in await self.store.list_steps(record.id) if step.done_at
        }
        names = record.spec.results.paths
        if not names or "launch" not in done or "download" in done:
            return None
        return MissingResults(trip_id=record.id, spec=record.spec)

    async def _list_jobs(self, lease: Lease) -> tuple[tuple[RunningJob, ...], str]:
        """Return the running jobs, and why they could not be listed."""
        # Of a missing machine, only the provider's answers lack it.
        if lease.state not in (LeaseState.READY, LeaseState.MISSING) or lease.endpoint is None:
            return (), ""
        try:
            found = await asyncio.wait_for(self._look_at_machine(lease.id), LOOK_SECONDS)
        except TimeoutError:
            return (), _("it did not answer in time")
        except Exception as error:  # noqa: BLE001 - whatever it is, the user can release the machine all the same
            return (), to_gpurent_error(error).message
        return tuple(RunningJob(name=name, since=status.started_at) for name, status in found.items()), ""

    async def _look_at_machine(self, lease_id: str) -> dict[str, JobStatus]:
        async with self.connections.make_connection(lease_id) as connection:
            return await self.runners.run_with_retry(connection, "", _list_running_jobs)

    async def _ask(self, losses: ReleaseLosses, details: Sequence[str]) -> ReleaseChoice:
        question = Question(
            id=f"release:{losses.lease.id}",
            kind=QuestionKind.DESTROY,
            text=_("Release {lease}?").format(lease=losses.lease.id),
            details=tuple(details),
        )
        choices = {ReleaseChoice.RELEASE.value: _("release it now")}
        if losses.results and not losses.unseen_reason:
            choices[ReleaseChoice.DOWNLOAD.value] = _("download the results, then release it")
        answer = await self.questions.choose(question, choices)
        if answer is None:
            raise Declined(_("{lease} was not released").format(lease=losses.lease.id))
        return ReleaseChoice(answer)

    async def download_results(self, losses: ReleaseLosses) -> None:
        """Download what exists of the missing results. Raises `ResultsMissing` if something is missing."""
        for item in losses.results:
            async with self.connections.connect_to_lease(losses.lease.id) as connection:
                outcome = await self.downloader.download_results(connection, item.spec, item.trip_id)
                for line in describe_outcome(outcome):
                    connection.emit(EventKind.WARNING, line)
            if outcome.missing:
                raise ResultsMissing(
                    _("Missing: {what}").format(what=summarize_texts(outcome.missing)),
                    hint="\n".join(losses.list_ways_out()),
                )


async def _list_running_jobs(runner: JobRunner) -> dict[str, JobStatus]:
    """Return the status of each running job by its name."""
    names = parse_job_names((await runner.ssh.run(unfinished_jobs_command())).stdout)
    found = {name: await runner.get_status(name) for name in names}
    return {name: status for name, status in found.items() if status.state is JobState.RUNNING}
