"""Pull files from a hostile remote side.

Names are checked, links not followed, and all writes go through open folders.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import TypeVar

import asyncssh

from gpurent.api import (
    FileProblem,
    LocalFiles,
    Progress,
    PullRequest,
    SafeDir,
    SkipKind,
    SshConnection,
    TransferError,
    TransferReport,
    UnavailableError,
    download_failures_error,
    escape_name,
    missing_remote_sources_error,
    open_safe_dir,
)
from gpurent_plugin_sftp.batches import MAX_IN_FLIGHT, make_batches
from gpurent_plugin_sftp.remote_hasher import RemoteHasher
from gpurent_plugin_sftp.remote_walk import NOT_FOUND_ERRORS, RACY_MTIME_NS, RemoteWalk, SftpRemoteFile
from gpurent_plugin_sftp.sftp_client import (
    FileChanged,
    SftpSilenceTimeout,
    open_remote_file,
    open_sftp_client,
    read_chunk,
    read_remote_clock,
    run_concurrently,
    translate_sftp_error,
)

T = TypeVar("T")
CHUNK_SIZE = 4 << 20
DIGEST_TIMEOUT = 60.0  # seconds for the digests of small files
MAX_PULL_SECONDS = 86_400  # a later mtime is no time at which a file changed during the pull
SLOW_DIGEST_RATE = 5_000_000  # bytes per second at which a slow machine computes digests


async def pull_files(
    connection: SshConnection, request: PullRequest, progress: Progress, files: LocalFiles
) -> TransferReport:
    """Download everything; files that failed raise a `TransferError` at the end, after the others have arrived."""
    silence_timeout = SftpSilenceTimeout()
    return await silence_timeout.run_with_timeout(
        _pull_files(connection, request, progress, silence_timeout, files)
    )


async def _pull_files(
    connection: SshConnection,
    request: PullRequest,
    progress: Progress,
    silence_timeout: SftpSilenceTimeout,
    files: LocalFiles,
) -> TransferReport:
    started_at = monotonic()
    async with open_sftp_client(connection) as sftp:
        clock = await read_remote_clock(connection)
        walk = RemoteWalk(sftp, request, silence_timeout)
        for source in request.sources:
            await walk.add_source(source)
        progress.set_total(len(walk.files), walk.size)
        with closing(open_safe_dir(files, request)) as target:
            puller = SftpPuller(connection, sftp, walk, target, progress, silence_timeout, clock)
            for name in walk.folders:
                target.make_folder(name)
            await puller.pull_files(puller.plan_files())
            # Create the links last, so that nothing can be written through them.
            for name, goal in await walk.read_links():
                if not target.make_symlink(name, goal):
                    why = FileProblem.NO_LINKS if target.refuses_links else FileProblem.IN_THE_WAY
                    walk.skip_name("/".join(name), why.text, SkipKind.LINK)
    if puller.failures:
        raise download_failures_error(puller.failures)
    if walk.missing_sources:
        raise missing_remote_sources_error([escape_name(name) for name in walk.missing_sources])
    return TransferReport(
        files=len(walk.files),
        total=walk.size,
        sent=puller.sent,
        resumed=puller.resumed,
        seconds=monotonic() - started_at,
        skipped=walk.skipped,
    )


class SftpPuller:
    """Pulls the files of one request."""

    def __init__(
        self,
        connection: SshConnection,
        sftp: asyncssh.SFTPClient,
        walk: RemoteWalk,
        target: SafeDir,
        progress: Progress,
        silence_timeout: SftpSilenceTimeout,
        remote_clock: int | None,
    ) -> None:
        self._sftp, self._walk, self._target = sftp, walk, target
        self._progress, self._silence_timeout = progress, silence_timeout
        self._hasher = RemoteHasher(connection, sftp, silence_timeout.reset)
        self._remote_clock = remote_clock
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._total_size = walk.size
        self._shown: dict[str, int] = {}  # bytes in the progress, by path
        self._error: TransferError | None = None
        self.sent = self.resumed = 0
        self.failures: list[tuple[str, str]] = []

    def plan_files(self) -> list[SftpRemoteFile]:
        """Return the files that are not here yet. Raises `TransferError` if the disk has no space for them."""
        wanted = []
        for file in self._walk.files:
            if file.is_downloaded(self._target):
                self.resumed += file.size
                self._show_progress(file, file.size)
                self._finish_progress(file)
            else:
                wanted.append(file)
        measure = self._target.measure_partial
        self._target.reserve_space(sum(max(0, file.size - measure(file.partial_name)) for file in wanted))
        return wanted

    async def pull_files(self, files: Sequence[SftpRemoteFile]) -> None:
        """Pull files in batches; those that vanished, cannot be read or keep changing are recorded in `failures`.

        Any other error of a remote file is raised when the others of its batch have arrived.
        """
        for batch in make_batches(files, lambda file: file.path):
            for file in await self._pull_batch(batch):
                await self._pull_again(file)
            if self._error is not None:
                raise self._error

    async def _pull_batch(
        self, files: Sequence[SftpRemoteFile], *, whole: bool = False
    ) -> list[SftpRemoteFile]:
        """Pull files together; return those that differ from the remote files now. Their partials are deleted.

        ``whole``: do not resume an earlier attempt.
        """
        fetch = partial(self._fetch_file, whole=whole)
        digests = await run_concurrently(self._attempt(file, fetch) for file in files)
        fetched = [(file, mine) for file, mine in zip(files, digests, strict=True) if mine]
        changed = [file for file, mine in zip(files, digests, strict=True) if mine == ""]
        hash_seconds = sum(file.size for file, _mine in fetched) / SLOW_DIGEST_RATE
        self._silence_timeout.reset(hash_seconds)
        remote = await self._hasher.hash_files(
            [(file.path, file.size) for file, _mine in fetched], DIGEST_TIMEOUT + hash_seconds
        )
        self._silence_timeout.reset()
        for (file, mine), theirs in zip(fetched, remote, strict=True):
            if mine != theirs or not self._commit_file(file):
                changed.append(file)
        for file in changed:
            self._target.delete_partial(file.partial_name)
        return changed

    async def _pull_again(self, file: SftpRemoteFile) -> None:
        """Pull a file that has changed once more, from its start."""
        now = await self._attempt(file, self._walk.refresh_file)
        if now is None:
            return
        growth = max(0, now.size - file.size)
        self._target.reserve_space(growth)
        if growth:
            self._total_size += growth
            self._progress.set_total(len(self._walk.files), self._total_size)
        if await self._pull_batch([now], whole=True):
            self._record_failure(file, FileProblem.CHANGED.text)

    async def _attempt(
        self, file: SftpRemoteFile, work: Callable[[SftpRemoteFile], Awaitable[T]]
    ) -> T | None:
        """Return the result of ``work`` on the file; None if that failed in a way that does not stop the others."""
        try:
            async with self._in_flight:
                return await work(file)
        except FileChanged as why:
            self._record_failure(file, str(why))
        except NOT_FOUND_ERRORS:
            self._record_failure(file, FileProblem.VANISHED.text)
        except asyncssh.SFTPPermissionDenied:
            self._record_failure(file, FileProblem.UNREADABLE.text)
        except asyncssh.SFTPError as error:
            problem = translate_sftp_error(escape_name(file.relative_path), error)
            if isinstance(problem, UnavailableError):
                raise problem from None
            self._error = self._error or problem
        return None

    def _record_failure(self, file: SftpRemoteFile, why: str) -> None:
        self.failures.append((escape_name(file.relative_path), why))

    async def _fetch_file(self, file: SftpRemoteFile, *, whole: bool) -> str:
        """Download the remote file into its partial; return the digest of what is there now.

        The digest is empty if the remote file has changed. ``whole``: do not resume an earlier attempt.
        """
        handle = self._target.open_growing_partial(file.name, file.partial_name)[0]
        try:
            if whole:
                self._target.resize_partial(file.name, handle, 0)
            return await self._fetch_to_partial(file, handle)
        finally:
            os.close(handle)

    async def _fetch_to_partial(self, file: SftpRemoteFile, handle: int) -> str:
        digest, at = sha256(), 0
        while data := self._target.read_partial(file.name, handle, CHUNK_SIZE, at):
            digest.update(data)
            at += len(data)
        self._silence_timeout.reset()  # reading our own disk is not silence of the remote side
        self.resumed += at
        self._show_progress(file, at)

        def note_data(arrived: int) -> None:
            # A chunk may take minutes on a slow line.
            self._silence_timeout.reset()
            self._show_progress(file, at + arrived)

        async with open_remote_file(self._sftp, file.path) as far:
            # However large the file is now, no more than the listed size is read.
            while new := await read_chunk(far, at, min(CHUNK_SIZE, max(0, file.size - at)), note_data):
                self._target.write_partial(file.name, handle, new, at)
                digest.update(new)
                at += len(new)
                self.sent += len(new)
            unchanged = file.is_unchanged(await far.stat())
            self._silence_timeout.reset()
        with self._target.convert_errors(file.name):
            os.fsync(handle)
        return digest.hexdigest() if unchanged else ""

    def _commit_file(self, file: SftpRemoteFile) -> bool:
        """Give a complete partial its final name; false if it is not as large as the remote file."""
        handle, size = self._target.open_growing_partial(file.name, file.partial_name)
        try:
            if size != file.size:
                return False
            time = file.mtime * 10**9
            if self._remote_clock is not None and 0 <= file.mtime - self._remote_clock <= MAX_PULL_SECONDS:
                time += RACY_MTIME_NS
            self._target.commit_partial(file.name, file.partial_name, handle, file.mode, time)
        finally:
            os.close(handle)
        self._finish_progress(file)
        return True

    def _show_progress(self, file: SftpRemoteFile, arrived: int) -> None:
        """Show that ``arrived`` bytes of the file are here; those of an earlier attempt are not counted twice."""
        arrived = min(arrived, file.size)
        new = arrived - self._shown.get(file.path, 0)
        if new > 0:
            self._shown[file.path] = arrived
            self._progress.advance(new, file.relative_path)

    def _finish_progress(self, file: SftpRemoteFile) -> None:
        self._shown.pop(file.path, None)
        self._progress.finish_file(file.relative_path)
