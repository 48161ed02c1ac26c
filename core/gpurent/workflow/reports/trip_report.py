"""Everything that the Store has about one trip, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.locks import LockOwner
from gpurent.domain.orders import OrderRecord
from gpurent.domain.payments import RecordedPayment
from gpurent.domain.transfer import TransferReport, sum_reports
from gpurent.domain.trip import StepRecord, TripRecord
from gpurent.locale import _
from gpurent.ports.kept_logs import KeptLogs
from gpurent.ports.store import Store
from gpurent.workflow.connection.result_list import ResultList
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.runtime.durable_steps import TripTracker


@frozen(kw_only=True)
class TripReport:
    """``waiting_for``: what an open trip waits for, in words; ``owner``: the process that works on it, if any.

    ``commands``: what can be typed now. ``download``: the complete downloads of its results, added up. ``results``:
    what they brought; None if that is not recorded. ``log``: the file in which its job's output is kept here; None if
    there is none.
    """

    record: TripRecord
    lease: Lease | None
    steps: Sequence[StepRecord]
    orders: Sequence[OrderRecord]
    payments: Sequence[RecordedPayment]
    waiting_for: str
    owner: LockOwner | None
    commands: Sequence[str]
    download: TransferReport
    results: ResultList | None = None
    log: Path | None = None

    @property
    def current_step(self) -> StepRecord | None:
        """The step that was begun last and is not done."""
        open_steps = [step for step in self.steps if step.done_at is None]
        return open_steps[-1] if open_steps and self.record.is_open else None


@frozen
class TripReports:
    store: Store
    trip_tracker: TripTracker
    bookkeeping: Bookkeeping
    kept_logs: KeptLogs

    async def get_report(self, trip_id: str) -> TripReport:
        """Return the report of a trip from the Store alone; raises `UsageError` if there is no such trip."""
        record = await self.trip_tracker.get_trip(trip_id)
        lease = await self.store.find_lease(record.lease) if record.lease else None
        downloads = await self.store.list_recorded_steps(record.id, ".download", TransferReport)
        lists = await self.store.list_recorded_steps(record.id, ".results", ResultList)
        owner = await self.trip_tracker.locks.find_trip_owner(record.id) if record.is_open else None
        return TripReport(
            record=record,
            lease=lease,
            steps=await self.store.list_steps(record.id),
            orders=await self.store.list_trip_orders(record.id),
            payments=await self.bookkeeping.list_payments(trip=record.id),
            waiting_for=await self._explain_wait(record, lease, owner),
            owner=owner,
            commands=self._list_commands(record, lease),
            download=sum_reports(report for _step, report in downloads),
            results=lists[-1][1] if lists else None,
            log=self.kept_logs.find_path(record.id),
        )

    async def _explain_wait(self, record: TripRecord, lease: Lease | None, owner: LockOwner | None) -> str:
        if not record.is_open:
            return ""
        if owner is not None:
            return _("{owner}, which is working on it").format(owner=owner.describe())
        questions = await self.store.list_open_questions(record.id)
        if questions:
            return _("your answer: {question}").format(question=questions[-1].text)
        if lease is not None and not lease.is_over and lease.note:
            return lease.note
        done = await self._list_done_steps(record)
        if any(name.endswith(".monitor") for name in done):
            return _("its results; resume it to download them and release the machine")
        if any(name.endswith(".launch") for name in done):
            return _("its job; resume it to follow the job, download the results and release the machine")
        return _("nothing; it can be resumed, as no process is working on it")

    async def _list_done_steps(self, record: TripRecord) -> list[str]:
        return [step.name for step in await self.store.list_steps(record.id) if step.done_at is not None]

    def _list_commands(self, record: TripRecord, lease: Lease | None) -> Sequence[str]:
        burning = lease is not None and not lease.is_over
        release = [f"gpurent release {record.lease}"] if burning and not record.spec.lease else []
        if not record.is_open:
            return release
        if record.kind == "guard":
            return ["gpurent watch --once"]
        cancel = [] if record.kind == "release" else [f"gpurent trips cancel {record.id}"]
        return [f"gpurent resume {record.id}", *cancel]
