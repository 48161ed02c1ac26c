"""File transfers to and from a machine, with the best transfer backend that supports them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.local_files import FileStates
from gpurent.domain.machine_folders import find_work_folder
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.transfer import PullRequest, PushRequest, TransferReport
from gpurent.domain.trip import UploadSpec
from gpurent.errors import (
    AuthError,
    ExpandingDownload,
    GpurentError,
    HostKeyChanged,
    PluginError,
    RemoteError,
    TransferError,
    TransferHelperFailed,
    TransferUnsupported,
    UnavailableError,
    UsageError,
)
from gpurent.locale import _
from gpurent.ports.connection import Connector, SshConnection
from gpurent.ports.local_files import LocalFiles
from gpurent.ports.terminal import Display
from gpurent.roles.entries import TransferEntry
from gpurent.roles.machine import SupportsPredial, TransferBackend
from gpurent.workflow.connection.first_byte import FirstByteWatch
from gpurent.workflow.connection.folder_changes import FolderChanges, load_awatch, watched_folders
from gpurent.workflow.connection.known_files import KnownFilesMaker, UploadedFiles
from gpurent.workflow.connection.left_out import archive_refused_files
from gpurent.workflow.connection.local_names import LocalNamesMaker
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.connection.result_inputs import BothStates
from gpurent.workflow.connection.upload_guard import UploadGuard
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.waiting import run_in_background

AUTO = "auto"


def work_folder(trip_id: str, upload: UploadSpec) -> str:
    """Return the folder of a trip's files on the machine, relative to the home folder."""
    return find_work_folder(trip_id, upload.project)


@frozen
class LocalSide:
    """What transfers use of this computer: its files, which names they may have, and what is known of them."""

    files: LocalFiles
    names: LocalNamesMaker
    known_files: KnownFilesMaker


@frozen
class FileTransfers:
    """Uploads and downloads that resume after a dropped connection."""

    plugins: Plugins
    events: EventEmitter
    display: Display
    local: LocalSide
    questions: Questions

    def iter_backends(self, name: str) -> Iterator[TransferBackend]:
        """Yield the named backend; for an empty name or ``auto``, all that can be built, highest rank first.

        Raises `PluginError` if there is none.
        """
        for _entry, backend in self.plugins.iter_usable(TransferEntry, "" if name == AUTO else name):
            yield backend

    async def upload(
        self,
        connection: ReconnectingConnection,
        push: PushRequest,
        name: str = "",
        backends: Sequence[TransferBackend] = (),
        states: FileStates | None = None,
        trip_id: str = "",
    ) -> TransferReport:
        """Upload with the backend ``name`` (empty: the best that can do it), or with one of ``backends`` if given.

        ``states`` takes note of all files, those that are there already included. ``trip_id``: whose upload it is.
        """
        return await self._try_backends(
            connection,
            backends or self.iter_backends(name),
            lambda backend, ssh, watch: self.push_with(
                backend, ssh, push, connection.lease_id, states, trip_id, watch
            ),
        )

    async def download(
        self, connection: ReconnectingConnection, pull: PullRequest, name: str = ""
    ) -> TransferReport:
        """Download, selecting the backend as in `upload`.

        Files whose names may not be used here are downloaded into an archive: see `left_out`. Files that were changed
        here are kept.
        """
        with self.local.known_files.open_downloadable(connection.lease_id, pull.sources) as known:
            pull = evolve(pull, names=self.local.names.make_names(pull.target), known=known)
            report = known.add_to_report(await self.download_usable(connection, pull, name))
        return await self.archive_refused(connection, pull, report)

    async def download_usable(
        self, connection: ReconnectingConnection, pull: PullRequest, name: str = ""
    ) -> TransferReport:
        """Download; files whose names may not be used here (``pull.names``) are only reported.

        Asks whether a download goes on that would take up far more here than travelled.
        """
        try:
            return await self._pull(connection, pull, name)
        except ExpandingDownload as error:
            return await self._pull(connection, await self._allow_expansion(pull, error), name)

    async def _allow_expansion(self, pull: PullRequest, error: ExpandingDownload) -> PullRequest:
        """Return the request that goes on after ``error``, which is raised unless the user agrees."""
        text = _("{problem}. Download it all the same?").format(problem=error.message)
        question = Question(id="expanding-download", kind=QuestionKind.CHOICE, text=text)
        if not (self.questions.can_confirm and await self.questions.confirm(question)):
            raise error
        return evolve(pull, limits=evolve(pull.limits, max_expansion=0))

    async def _pull(self, connection: ReconnectingConnection, pull: PullRequest, name: str) -> TransferReport:
        return await self._try_backends(
            connection,
            self.iter_backends(name),
            lambda backend, ssh, watch: backend.pull(
                ssh, pull, watch.wrap(self.display.start_progress(_("results")))
            ),
        )

    async def archive_refused(
        self, connection: ReconnectingConnection, pull: PullRequest, report: TransferReport
    ) -> TransferReport:
        """Download the files that ``report`` says were refused for their names; return the report with them.

        Asks as `download_usable` does.
        """
        if not any(item.remote_path for item in report.skipped):
            return report
        try:
            return await connection.run_helper(lambda ssh: self._archive(ssh, pull, report))
        except ExpandingDownload as error:
            allowed = await self._allow_expansion(pull, error)
        return await connection.run_helper(lambda ssh: self._archive(ssh, allowed, report))

    async def _archive(self, ssh: SshConnection, pull: PullRequest, report: TransferReport) -> TransferReport:
        progress = self.display.start_progress(_("results"))
        origin = " ".join((str(ssh.endpoint), *pull.sources))
        return await archive_refused_files(self.local.files, ssh, pull, report, origin, progress)

    async def push_with(
        self,
        backend: TransferBackend,
        ssh: SshConnection,
        push: PushRequest,
        lease_id: str,
        states: FileStates | None = None,
        trip_id: str = "",
        watch: FirstByteWatch | None = None,
    ) -> TransferReport:
        """Push with ``backend``; ``watch`` notes whether anything was transferred."""
        uploaded = UploadedFiles()
        told = uploaded if states is None else BothStates(uploaded, states)
        progress = self.display.start_progress(_("upload"))
        progress = progress if watch is None else watch.wrap(progress)
        report = await backend.push(ssh, evolve(push, states=told), progress)
        if not push.dry_run:
            await asyncio.to_thread(
                self.local.known_files.record_upload, lease_id, push.target, uploaded, trip_id
            )
        return report

    def report_unsupported(self, error: GpurentError) -> None:
        self.events.emit(EventKind.PROGRESS, error.message)

    async def _try_backends(
        self,
        connection: ReconnectingConnection,
        backends: Iterable[TransferBackend],
        transfer: Callable[[TransferBackend, SshConnection, FirstByteWatch], Awaitable[TransferReport]],
    ) -> TransferReport:
        """Transfer with the first backend that can; raises the last one's error if none can.

        One that fails in a way of its own before its first byte could not, whatever it raises. Errors about the files
        are no such failure: another backend would meet them too.
        """
        await (
            connection.ensure_open()
        )  # that the machine is not running is said before what is not installed here
        unfit: GpurentError = TransferUnsupported(_("no transfer backend is installed"))
        for backend in backends:
            watch = FirstByteWatch()
            try:
                return await connection.run_helper(lambda ssh: transfer(backend, ssh, watch))  # noqa: B023 - runs now
            except (TransferUnsupported, TransferHelperFailed) as error:
                unfit = error
            except (PluginError, RemoteError) as error:
                if watch.is_begun or isinstance(error, TransferError | HostKeyChanged):
                    raise
                unfit = error
            self.report_unsupported(unfit)
        raise unfit


@frozen
class PredialledLogin:
    """A login for a transfer that was started early: its backend and target. ``cancel`` ends it if no push used it."""

    backend: SupportsPredial
    target: SshConnection
    cancel: Callable[[], None]


@frozen
class Predialler:
    connector: Connector
    transfers: FileTransfers

    @contextmanager
    def predial(
        self, lease: Lease | None, push: PushRequest, name: str = ""
    ) -> Iterator[PredialledLogin | None]:
        """Start the login that ``push`` will need; cancel it when the block ends if nothing used it.

        Yields None if we have never connected to the machine, or if the backend (``name``, else the best) cannot do
        this.
        """
        login = self._start_login(lease, push, name)
        try:
            yield login
        finally:
            if login is not None:
                login.cancel()

    def _start_login(self, lease: Lease | None, push: PushRequest, name: str) -> PredialledLogin | None:
        if lease is None or lease.state is not LeaseState.READY or lease.endpoint is None:
            return None
        target = self.connector.find_ssh_target(lease.id, lease.endpoint)
        backend = next(self.transfers.iter_backends(name))
        if target is None or not isinstance(backend, SupportsPredial):
            return None
        hang_up = backend.start_login(target, push)
        return None if hang_up is None else PredialledLogin(backend, target, hang_up)

    async def push_early(
        self, connection: ReconnectingConnection, push: PushRequest, name: str = ""
    ) -> TransferReport:
        """Push while the provider is still being asked about the lease; open ``connection`` only if needed.

        Nothing is sent unless the machine presents the pinned host key. On any failure, fall back to the normal upload,
        which can wait, log in again and report errors.
        """
        with self.predial(await connection.get_lease(), push, name) as login:
            if login is None:
                await connection.refresh_lease()
                return await self.transfers.upload(connection, push, name)
            try:
                report = await self._push_with_login(login, connection, push)
            except TransferUnsupported as error:
                others = [it for it in self.transfers.iter_backends(name) if it is not login.backend]
                if not others:
                    raise
                self.transfers.report_unsupported(error)
                return await self.transfers.upload(connection, push, backends=others)
            return report or await self.transfers.upload(connection, push, name)

    async def _push_with_login(
        self, login: PredialledLogin, connection: ReconnectingConnection, push: PushRequest
    ) -> TransferReport | None:
        """Return None if the normal upload must be used: the lease changed, or the early login failed."""
        lease = await connection.get_lease()
        pushing = self.transfers.push_with(login.backend, login.target, push, lease.id)
        async with run_in_background(pushing) as task:
            try:
                seen = await connection.refresh_lease()
                moved = (seen.state, seen.endpoint) != (lease.state, lease.endpoint)
                return None if moved else await task
            except (UnavailableError, AuthError, HostKeyChanged):
                return None


@frozen
class FileCommands:
    """File commands on one lease. Each call opens its own connection and closes it."""

    connections: Connections
    transfers: FileTransfers
    predialler: Predialler
    guard: UploadGuard

    def check_push(self, push: PushRequest) -> PushRequest:
        """Return the push as it may be made; raises `UsageError` for a source that is refused."""
        for source in push.sources:
            self.guard.check_source(source)
        return self.guard.exclude_own_folders(push)

    async def push(self, lease_id: str, push: PushRequest, transfer: str = "") -> TransferReport:
        push = self.check_push(push)
        lease = await self.connections.leases.get_lease(lease_id)
        async with self.connections.make_connection(lease.id) as connection:
            return await self.predialler.push_early(connection, push, transfer)

    async def pull(
        self, lease_id: str, pull: PullRequest, transfer: str = "", *, into_home: bool = False
    ) -> TransferReport:
        """Download; raises `UsageError` for the home folder itself as the target, unless ``into_home``."""
        if not into_home and pull.target.resolve() == self.guard.user_home.resolve():
            raise UsageError(
                _("{path} is your home folder; nothing is downloaded into it").format(path=pull.target),
                hint=_("Name a folder: --to results. Or allow it: --into-home"),
            )
        async with self.connections.connect_to_lease(lease_id) as connection:
            return await self.transfers.download(connection, pull, transfer)

    async def watch_push(
        self, lease_id: str, push: PushRequest, report: Callable[[TransferReport], None], transfer: str = ""
    ) -> None:
        """Push now and after each change, one push at a time, until cancelled.

        ``report`` is called after the first push and after each push that transferred or deleted something. If the
        first push fails, its error is raised; later failures are reported and retried with the next change.
        """
        push = self.check_push(push)
        changes = FolderChanges(watched_folders(push), load_awatch())
        connection = self.connections.make_connection((await self.connections.leases.get_lease(lease_id)).id)
        async with connection, run_in_background(changes.watch()) as watching:
            await asyncio.sleep(0)  # start watching before the first push, so that no change is missed
            await connection.refresh_lease()
            report(await self.transfers.upload(connection, push, transfer))
            while True:
                await changes.wait_for_change(watching)
                try:
                    sent = await self.transfers.upload(connection, push, transfer)
                except TransferUnsupported:
                    raise
                except TransferError as error:
                    connection.emit(EventKind.WARNING, error.message)
                    continue
                if sent.sent or sent.deleted:
                    report(sent)
