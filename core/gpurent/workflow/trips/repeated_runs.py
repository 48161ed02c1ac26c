"""The same `run` or `rent` typed again while its trip is open: resume that trip, or rent a second machine?"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.locks import LockOwner
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.trip import JobSpec, TripRecord, TripSpec
from gpurent.errors import ConfirmationRequired, Declined
from gpurent.locale import _, join_list
from gpurent.workflow.runtime.durable_steps import TripTracker
from gpurent.workflow.runtime.questions import Questions

_NEW, _RESUME = "new", "resume"


@frozen
class RepeatedRuns:
    trip_tracker: TripTracker
    questions: Questions

    async def find_trip_to_resume(self, kind: str, spec: TripSpec) -> str:
        """Return the open trip of the same command that is to be resumed; empty for a new trip.

        A trip that died before its job was started is resumed without a question: it is the one that is wanted. So is
        one that only has to show its result. For any other, the user is asked. Raises `Declined` or
        `ConfirmationRequired`; nothing has been begun then.
        """
        found = await self._find_open_trips(kind, spec)
        if not found:
            return ""
        owners = {record.id: await self.trip_tracker.locks.find_trip_owner(record.id) for record in found}
        interrupted = [
            record for record in found if not owners[record.id] and not await self._has_running_job(record)
        ]
        if interrupted:
            self._announce_continuation(interrupted[-1], spec)
            return interrupted[-1].id
        newest = found[-1].id
        lines = [_describe_trip(record, owners[record.id]) for record in found]
        if not self.questions.can_confirm:
            raise ConfirmationRequired(
                join_list(lines),
                hint=""
                if owners[newest]
                else _("Go on with the trip: {command}").format(command=f"gpurent resume {newest}"),
                retryable=True,
            )
        question = Question(
            id=f"repeat:{newest}",
            kind=QuestionKind.SPEND,
            text=_("What now?"),
            details=tuple(lines),
        )
        choices = {_NEW: _("rent another machine for a new trip")}
        if not owners[newest]:
            choices[_RESUME] = _("resume trip {trip}").format(trip=newest)
        answer = await self.questions.choose(question, choices)
        if answer is None:
            raise Declined(_("no new trip was begun"))
        return newest if answer == _RESUME else ""

    def _announce_continuation(self, record: TripRecord, spec: TripSpec) -> None:
        trip = self.trip_tracker.context_of(record.id)
        trip.announce_continuation()
        if record.spec.results != spec.results:
            text = _(
                "its results stay as they were asked for; others: gpurent resume {trip} --results-dir FOLDER"
            )
            trip.emit(EventKind.WARNING, text.format(trip=record.id))

    async def _find_open_trips(self, kind: str, spec: TripSpec) -> Sequence[TripRecord]:
        """Return the open trips of the same command that rent, or have rented, their own machine."""
        if spec.lease:
            return []
        is_same = _is_same_run if kind == "run" else _is_same_rent
        return [
            record
            for record in await self.trip_tracker.store.list_open_trips()
            if record.kind == kind
            and not record.spec.lease
            and is_same(record.spec, spec)
            and not _answers_more(record.spec, spec)
        ]

    async def _has_running_job(self, record: TripRecord) -> bool:
        """Whether the job was started, and the machine was not given back since, which ends with the receipt."""
        steps = await self.trip_tracker.store.list_steps(record.id)
        done = {step.name.rpartition(".")[2] for step in steps if step.done_at is not None}
        return "launch" in done and "receipt" not in done


def _answers_more(one: TripSpec, other: TripSpec) -> bool:
    """Whether ``other`` states the price that the trip of ``one`` asks for: it would only ask again."""
    return one.terms is None and other.terms is not None


def _is_same_run(one: TripSpec, other: TripSpec) -> bool:
    return (one.upload.folder, _get_work(one.job)) == (other.upload.folder, _get_work(other.job))


def _get_work(job: JobSpec) -> tuple[object, ...]:
    """Return what makes a job another one."""
    return job.command, job.env, job.env_file, job.secrets


def _is_same_rent(one: TripSpec, other: TripSpec) -> bool:
    """``one`` has its provider already, ``other`` may still name several."""
    same = (one.requirements, one.limits.term) == (other.requirements, other.limits.term)
    wanted = {other.provider, *other.providers} - {""}
    return same and (one.provider in wanted or set(one.providers) == wanted)


def _describe_trip(record: TripRecord, owner: LockOwner | None) -> str:
    if owner is None:
        return _("trip {trip} of the same command and folder has not ended").format(trip=record.id)
    text = _("trip {trip} of the same command and folder is being executed by {owner}")
    return text.format(trip=record.id, owner=owner.describe())
