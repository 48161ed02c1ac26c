"""Step: download the results."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Never

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.transfer import PullRequest, TransferReport
from gpurent.domain.trip import TripSpec
from gpurent.errors import TransferError
from gpurent.locale import _
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.connection.transfers import FileTransfers, work_folder
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.waiting import Poller


@frozen
class DownloadStep:
    """Downloads the results into the local folder, under the same relative paths as on the machine."""

    transfers: FileTransfers
    connections: Connections
    poller: Poller

    async def download_results(
        self, trip: TripContext, leg: str, connection: ReconnectingConnection, spec: TripSpec
    ) -> TransferReport:
        """Run `download_now` once per leg."""
        return await trip.step(
            f"{leg}.download", TransferReport, lambda: self.download_now(trip, connection, spec)
        )

    async def download_now(
        self, trip: TripContext, connection: ReconnectingConnection, spec: TripSpec
    ) -> TransferReport:
        folder = work_folder(trip.id)
        pull = PullRequest(
            sources=tuple(f"{folder}/{name}" for name in spec.results.paths),
            target=Path(spec.results.dir or spec.upload.folder),
        )
        return await self.transfers.download(connection, pull, spec.upload.transfer)

    async def download_in_background(
        self, trip: TripContext, lease_id: str, spec: TripSpec, every: timedelta
    ) -> Never:
        """Run `download_now` every ``every`` (from start to start) until cancelled.

        It uses its own connections, so that nothing waits for it. Results that do not exist yet or are being written
        are downloaded in a later round.
        """
        clock = self.poller.clock
        begun_at = clock.now()
        while True:
            await self.poller.pause(max(timedelta(), begun_at + every - clock.now()), min_seconds=0.3)
            begun_at = clock.now()
            text = _("the results so far have been downloaded")
            try:
                async with self.connections.make_connection(lease_id, trip.id) as connection:
                    await self.download_now(trip, connection, spec)
            except TransferError as error:
                text = error.message
            trip.emit(EventKind.PROGRESS, text, lease=lease_id)
