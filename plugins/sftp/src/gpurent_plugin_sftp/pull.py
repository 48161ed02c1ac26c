"""Pull files from a hostile remote side.

Names are checked, links not followed, and all writes go through open folders.
"""

from __future__ import annotations

import os
from contextlib import closing
from hashlib import sha256
from time import monotonic

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
    download_failures_error,
    escape_name,
    missing_remote_sources_error,
    open_safe_dir,
)
from gpurent_plugin_sftp import _
from gpurent_plugin_sftp.remote_walk import NOT_FOUND_ERRORS, RACY_MTIME_NS, RemoteWalk, SftpRemoteFile
from gpurent_plugin_sftp.sftp_client import (
    FileChanged,
    RemoteHasher,
    SftpSilenceTimeout,
    open_sftp_client,
    read_remote_clock,
    translate_sftp_error,
)

CHUNK_SIZE = 4 << 20
DIGEST_TIMEOUT = 60.0  # seconds for the digest of a small file
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
            for file in puller.plan_files():
                await puller.pull_file(file)
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
        self._hasher = RemoteHasher(connection, sftp)
        self._remote_clock = remote_clock
        self.sent = self.resumed = 0
        self.failures: list[tuple[str, str]] = []

    def plan_files(self) -> list[SftpRemoteFile]:
        """Return the files that are not here yet. Raises `TransferError` if the disk has no space for them."""
        wanted = []
        for file in self._walk.files:
            if file.is_downloaded(self._target):
                self.resumed += file.size
                self._progress.advance(file.size, file.relative_path)
                self._progress.finish_file(file.relative_path)
            else:
                wanted.append(file)
        measure = self._target.measure_partial
        self._target.reserve_space(sum(max(0, file.size - measure(file.partial_name)) for file in wanted))
        return wanted

    async def pull_file(self, file: SftpRemoteFile) -> None:
        """Pull one file; if it vanished, cannot be read or keeps changing, record that and return normally."""
        try:
            await self._download_or_retry(file)
        except FileChanged as why:
            self.failures.append((escape_name(file.relative_path), str(why)))
            return
        except asyncssh.SFTPError as error:
            raise translate_sftp_error(escape_name(file.relative_path), error) from None
        self._progress.finish_file(file.relative_path)

    async def _download_or_retry(self, file: SftpRemoteFile) -> None:
        try:
            if not await self._download_file(file, whole=False):
                now = await self._walk.refresh_file(file)
                if now is not None:
                    self._target.reserve_space(max(0, now.size - file.size))
                if now is None or not await self._download_file(now, whole=True):
                    raise FileChanged(FileProblem.CHANGED.text)
        except (*NOT_FOUND_ERRORS, asyncssh.SFTPPermissionDenied) as error:
            gone = isinstance(error, NOT_FOUND_ERRORS)
            raise FileChanged((FileProblem.VANISHED if gone else FileProblem.UNREADABLE).text) from None

    async def _download_file(self, file: SftpRemoteFile, *, whole: bool) -> bool:
        """Download the file; return whether it is identical to the remote file now. If not, its partial is deleted.

        ``whole``: do not resume an earlier attempt.
        """
        handle = self._target.open_growing_partial(file.name, file.partial_name)[0]
        try:
            if whole:
                self._target.resize_partial(file.name, handle, 0)
            mine = await self._fetch_to_partial(file, handle)
            self._silence_timeout.reset(file.size / SLOW_DIGEST_RATE)
            (theirs,) = await self._hasher.hash_files(
                [file.path], timeout=DIGEST_TIMEOUT + file.size / SLOW_DIGEST_RATE
            )
            self._silence_timeout.reset()
            if mine == theirs and os.fstat(handle).st_size == file.size:
                time = file.mtime * 10**9
                if (
                    self._remote_clock is not None
                    and 0 <= file.mtime - self._remote_clock <= MAX_PULL_SECONDS
                ):
                    time += RACY_MTIME_NS
                self._target.commit_partial(file.name, file.partial_name, handle, file.mode, time)
                return True
            self._target.delete_partial(file.partial_name)
            return False
        finally:
            os.close(handle)

    async def _fetch_to_partial(self, file: SftpRemoteFile, handle: int) -> str:
        """Download the remote file into its partial, resuming where it ends; return the digest of the local content.

        The digest is empty if the remote file has changed.
        """
        digest, at = sha256(), 0
        while data := self._target.read_partial(file.name, handle, CHUNK_SIZE, at):
            digest.update(data)
            at += len(data)
        self._silence_timeout.reset()  # reading our own disk is not silence of the remote side
        self.resumed += at
        self._progress.advance(at, file.relative_path)
        async with self._sftp.open(file.path, "rb", encoding=None) as far:
            # However large the file is now, no more than the listed size is read.
            while data := await self._read_chunk(far, at, min(CHUNK_SIZE, max(0, file.size - at))):
                self._target.write_partial(file.name, handle, memoryview(data), at)
                digest.update(data)
                at += len(data)
                self.sent += len(data)
                self._progress.advance(len(data), file.relative_path)
            unchanged = file.is_unchanged(await far.stat())
            self._silence_timeout.reset()
        with self._target.convert_errors(file.name):
            os.fsync(handle)
        return digest.hexdigest() if unchanged else ""

    async def _read_chunk(self, file: asyncssh.SFTPClientFile, at: int, size: int) -> bytes:
        """Return up to ``size`` bytes; fewer at the end of the file."""
        data, come = bytearray(size), 0
        async for where, piece in await file.read_parallel(size, at):
            self._silence_timeout.reset()
            come += len(piece)
            if come > size or where < at or where + len(piece) > at + size:
                raise TransferError(_("the machine sent more data than requested"))
            data[where - at : where - at + len(piece)] = piece
        return bytes(data[:come])
