"""Step: download the results."""

from __future__ import annotations

from datetime import timedelta
from typing import Never

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.transfer import TransferReport, sum_reports
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, TransferError
from gpurent.locale import _, ngettext
from gpurent.workflow.connection.left_out import describe_left_out
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.connection.result_list import ResultList, format_short_list
from gpurent.workflow.connection.results_download import ResultsDownloader, ResultsOutcome
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.waiting import Poller


class _ResultsIncomplete(Exception):
    """Keeps an incomplete download from being recorded as done."""

    def __init__(self, outcome: ResultsOutcome) -> None:
        super().__init__()
        self.outcome = outcome


@frozen
class DownloadStep:
    """Downloads the results into the local folder, under the same relative paths as on the machine."""

    downloader: ResultsDownloader
    connections: Connections
    poller: Poller

    async def download_results(
        self, trip: TripContext, leg: str, connection: ReconnectingConnection, spec: TripSpec
    ) -> ResultsOutcome:
        """Download the results and say what was left out; only a complete download is recorded, once per leg.

        Whatever prevents the download is a failure of the outcome, not an error.
        """
        if not spec.results.are_wanted:
            return ResultsOutcome(report=sum_reports(()))

        saved: ResultList | None = None

        async def download() -> TransferReport:
            nonlocal saved
            outcome = await self.try_download(connection, spec, trip.id)
            for line in describe_outcome(outcome):
                trip.emit(EventKind.WARNING, line, lease=connection.lease_id)
            if outcome.missing:
                raise _ResultsIncomplete(outcome)
            files = outcome.report.files
            saved = outcome.saved
            if files and saved is not None:
                text = ngettext(
                    "{files} file downloaded to {folder}", "{files} files downloaded to {folder}", files
                )
                trip.emit(
                    EventKind.RESULTS_SAVED,
                    text.format(files=files, folder=format_short_list(saved)),
                    lease=connection.lease_id,
                )
            return outcome.report

        try:
            report = await trip.step(f"{leg}.download", TransferReport, download)
            known = saved or await trip.find_result(f"{leg}.results", ResultList)
            if known is not None:
                known = await trip.record_result(f"{leg}.results", known)
            return ResultsOutcome(report=report, saved=known)
        except _ResultsIncomplete as error:
            return error.outcome

    async def try_download(
        self, connection: ReconnectingConnection, spec: TripSpec, trip_id: str
    ) -> ResultsOutcome:
        """Download what exists; an error is returned as a failure of the outcome."""
        try:
            return await self.downloader.download_results(connection, spec, trip_id)
        except GpurentError as error:
            return ResultsOutcome(report=sum_reports(()), failures=(error.message,))

    async def download_in_background(
        self, trip: TripContext, lease_id: str, spec: TripSpec, every: timedelta
    ) -> Never:
        """Download the results every ``every`` (from start to start) until cancelled.

        It uses its own connections, so that nothing waits for it. Results that do not exist yet or are being written
        are downloaded in a later round. What a round leaves out is said when it changes.
        """
        clock = self.poller.clock
        begun_at = clock.now()
        told: tuple[str, ...] = ()
        while True:
            await self.poller.pause(max(timedelta(), begun_at + every - clock.now()), min_seconds=0.3)
            begun_at = clock.now()
            text = _("the results so far have been downloaded")
            try:
                async with self.connections.make_connection(lease_id, trip.id) as connection:
                    outcome = await self.downloader.download_results(connection, spec, trip.id)
                lines = describe_outcome(outcome)
                for line in lines if lines != told else ():
                    trip.emit(EventKind.WARNING, line, lease=lease_id)
                told = lines
            except TransferError as error:
                text = error.message
            trip.emit(EventKind.PROGRESS, text, lease=lease_id)


def describe_outcome(outcome: ResultsOutcome) -> tuple[str, ...]:
    """Return what a download left out, for the user."""
    return (*outcome.problems, *describe_left_out(outcome.report, _("not downloaded: {what}")))
