"""Step: upload the user's files."""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.local_files import FileStates
from gpurent.domain.transfer import PushRequest, TransferReport, UploadPreview, sum_reports
from gpurent.domain.trip import TripSpec, UploadSpec
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.workflow.connection.checkpoints import find_saved_checkpoints
from gpurent.workflow.connection.left_out import describe_left_out
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.connection.result_inputs import ResultInputs
from gpurent.workflow.connection.transfers import FileTransfers, Predialler, work_folder
from gpurent.workflow.connection.upload_guard import UploadGuard
from gpurent.workflow.connection.upload_previews import UploadPreviewer
from gpurent.workflow.runtime.durable_steps import TripContext

INPUTS = "-inputs"


@frozen
class UploadStep:
    """Uploads the user's folder, or a part of it, into the trip's folder on the machine, as far as it has changed."""

    transfers: FileTransfers
    predialler: Predialler
    guard: UploadGuard
    previewer: UploadPreviewer

    def make_pushes(self, upload: UploadSpec, target: str) -> Sequence[PushRequest]:
        """Return the pushes of ``upload`` into the remote folder ``target``; raises `UsageError` if it is refused."""
        self.guard.check_upload(upload)
        return [self.guard.exclude_own_folders(push, upload.withheld) for push in make_pushes(upload, target)]

    async def preview_upload(self, upload: UploadSpec) -> UploadPreview | None:
        """Return what would be uploaded; None if the transfer backend cannot tell. Raises as `make_pushes` does."""
        return await self.previewer.preview_pushes(self.make_pushes(upload, ""), upload.transfer)

    def predial_upload(
        self, trip_id: str, lease: Lease, upload: UploadSpec
    ) -> AbstractContextManager[object]:
        """Let the transfer backend log in for the first push of ``upload`` while the block runs."""
        first = self.make_pushes(upload, work_folder(trip_id, upload))[0]
        return self.predialler.predial(lease, first, upload.transfer)

    async def upload_files(
        self,
        trip: TripContext,
        step: str,
        connection: ReconnectingConnection,
        upload: UploadSpec,
        results: Sequence[str] = (),
    ) -> TransferReport:
        """Upload everything, once, as the step named ``step``; record which of the ``results`` are uploaded."""
        folder, inputs = work_folder(trip.id, upload), ResultInputs(upload.folder, results)
        was_done = await trip.step_done_at(step) is not None
        report = await trip.step(
            step, TransferReport, lambda: self._push_all(trip.id, folder, connection, upload, states=inputs)
        )
        if results and not was_done:
            await trip.record_result(f"{step}{INPUTS}", inputs.get_inputs())
        return report

    async def upload_checkpoints(
        self, trip: TripContext, step: str, connection: ReconnectingConnection, spec: TripSpec
    ) -> TransferReport:
        """Upload the checkpoints of an earlier attempt to the places that they had, once, as the step ``step``."""

        async def push() -> TransferReport:
            saved = await asyncio.to_thread(find_saved_checkpoints, self.transfers.local.files, spec)
            if saved is None:
                connection.emit(EventKind.WARNING, _("no checkpoint was downloaded; the job begins anew"))
                return sum_reports(())
            folder = work_folder(trip.id, spec.upload)
            return await self._push_all(trip.id, folder, connection, saved, use_ignore_files=False)

        return await trip.step(step, TransferReport, push)

    async def _push_all(
        self,
        trip_id: str,
        folder: str,
        connection: ReconnectingConnection,
        upload: UploadSpec,
        *,
        use_ignore_files: bool = True,
        states: FileStates | None = None,
    ) -> TransferReport:
        pushes = [
            evolve(push, use_ignore_files=use_ignore_files) for push in self.make_pushes(upload, folder)
        ]
        report = sum_reports(
            [
                await self.transfers.upload(connection, push, upload.transfer, states=states, trip_id=trip_id)
                for push in pushes
            ]
        )
        for line in describe_left_out(report, _("not uploaded: {what}")):
            connection.emit(EventKind.WARNING, line)
        return report


def make_pushes(upload: UploadSpec, target: str) -> Sequence[PushRequest]:
    """Return the pushes for the whole folder, or only for what was named of it, keeping their relative paths."""
    folder, include = Path(upload.folder), upload.include
    if not folder.is_dir():
        raise UsageError(_("{folder} is not a folder").format(folder=folder))
    if not include:
        root = Path(upload.root) if upload.root else None
        return [PushRequest(sources=(folder,), target=target, contents_only=True, root=root)]
    places: dict[str, list[Path]] = {}
    for name in include:
        if not os.path.lexists(folder / name):
            raise UsageError(_("{name} does not exist in {folder}").format(name=name, folder=folder))
        places.setdefault(posixpath.dirname(name), []).append(folder / name)
    return [
        PushRequest(
            sources=tuple(sources),
            target=posixpath.join(target, place).rstrip("/"),
            root=Path(upload.root or folder),
        )
        for place, sources in places.items()
    ]
