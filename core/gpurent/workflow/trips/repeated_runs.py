"""The same command typed again while its trip is still open: resume that trip, or rent a second machine?"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.trip import TripRecord, TripSpec
from gpurent.errors import ConfirmationRequired, Declined
from gpurent.locale import _, join_list
from gpurent.ports.store import TripStore
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.waiting import WorkLocks

_NEW, _RESUME = "new", "resume"


@frozen
class RepeatedRuns:
    store: TripStore
    locks: WorkLocks
    questions: Questions

    async def find_trip_to_resume(self, spec: TripSpec) -> str:
        """Return the open trip of the same folder and command that the user wants to resume; empty for a new trip.

        Raises `Declined` or `ConfirmationRequired`; nothing has been begun then.
        """
        found = self._find_open_runs(spec)
        if not found:
            return ""
        holders = {record.id: self.locks.find_trip_holder(record.id) for record in found}
        newest = found[-1].id
        lines = [_describe_trip(record, holders[record.id]) for record in found]
        if not self.questions.can_confirm:
            raise ConfirmationRequired(
                join_list(lines),
                hint=""
                if holders[newest]
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
        if not holders[newest]:
            choices[_RESUME] = _("resume trip {trip}").format(trip=newest)
        answer = await self.questions.choose(question, choices)
        if answer is None:
            raise Declined(_("no new trip was begun"))
        return newest if answer == _RESUME else ""

    def _find_open_runs(self, spec: TripSpec) -> Sequence[TripRecord]:
        """Return the open trips of the same folder and command that rent, or have rented, their own machine."""
        if spec.lease:
            return []
        return [
            record
            for record in self.store.list_open_trips()
            if record.kind == "run"
            and not record.spec.lease
            and record.spec.upload.folder == spec.upload.folder
            and record.spec.job.command == spec.job.command
        ]


def _describe_trip(record: TripRecord, holder: str) -> str:
    text = (
        _("trip {trip} runs the same command in the same folder, in process {holder}")
        if holder
        else _("trip {trip} of the same command and folder has not ended")
    )
    return text.format(trip=record.id, holder=holder)
