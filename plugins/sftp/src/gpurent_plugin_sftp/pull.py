"""Down: the far side is hostile.

Its names are judged, its links not followed, and all writing goes through open folders.
"""

from __future__ import annotations

import os
from contextlib import closing
from hashlib import sha256
from time import monotonic

import asyncssh

from gpurent.api import (
    Progress,
    PullRequest,
    SafeDir,
    SshConnection,
    TransferError,
    TransferReport,
    escape_name,
)
from gpurent_plugin_sftp.remote_walk import NOT_FOUND_ERRORS, RACY_MTIME_NS, RemoteWalk, SftpRemoteFile
from gpurent_plugin_sftp.sftp_client import (
    FileChanged,
    RemoteHasher,
    SftpIdleTimeout,
    open_sftp_client,
    read_remote_clock,
    summarize_failures,
    translate_sftp_error,
)

CHUNK_SIZE = 4 << 20
DIGEST_TIMEOUT = 60.0  # seconds for a small file's
SLOW_DIGEST_RATE = 5_000_000  # bytes a second at which a slow machine makes digests


async def pull_files(connection: SshConnection, request: PullRequest, progress: Progress) -> TransferReport:
    """Fetch everything; what could not be fetched is reported at the end, after the others came."""
    idle_timeout = SftpIdleTimeout()
    return await idle_timeout.run_with_timeout(_pull_files(connection, request, progress, idle_timeout))


async def _pull_files(
    connection: SshConnection, request: PullRequest, progress: Progress, idle_timeout: SftpIdleTimeout
) -> TransferReport:
    begun = monotonic()
    async with open_sftp_client(connection) as sftp:
        clock = await read_remote_clock(connection)
        walk = RemoteWalk(sftp, request, idle_timeout)
        for source in request.sources:
            await walk.add_source(source)
        progress.set_total(len(walk.files), walk.size)
        with closing(SafeDir(request.target)) as target:
            puller = SftpPuller(connection, sftp, walk, target, progress, idle_timeout, clock)
            for name in walk.folders:
                target.make_folder(name)
            for file in walk.files:
                await puller.pull_file(file)
            # Last, when nothing is written any more that could go through them.
            for name, goal in await walk.read_links():
                if not target.make_symlink(name, goal):
                    walk.skip_name("/".join(name), "is a link, and a folder has its name here")
    if puller.failures:
        raise TransferError(
            summarize_failures(puller.failures), hint="Everything else has come home. Pull again."
        )
    if walk.missing_sources:
        names = ", ".join(escape_name(name) for name in walk.missing_sources)
        raise TransferError(f"not on the machine: {names}", hint="What was there has come home.")
    return TransferReport(
        files=len(walk.files),
        total=walk.size,
        sent=puller.sent,
        resumed=puller.resumed,
        seconds=monotonic() - begun,
        skipped=tuple(walk.skipped),
    )


class SftpPuller:
    """The files of one pull."""

    def __init__(
        self,
        connection: SshConnection,
        sftp: asyncssh.SFTPClient,
        walk: RemoteWalk,
        target: SafeDir,
        progress: Progress,
        idle_timeout: SftpIdleTimeout,
        remote_clock: int | None,
    ) -> None:
        self._sftp, self._walk, self._target = sftp, walk, target
        self._progress, self._idle_timeout = progress, idle_timeout
        self._hasher = RemoteHasher(connection, sftp)
        self._remote_clock = remote_clock
        self.sent = self.resumed = 0
        self.failures: list[str] = []

    async def pull_file(self, file: SftpRemoteFile) -> None:
        """That it vanished, cannot be read or does not stand still is noted, and others come."""
        try:
            if file.is_downloaded(self._target):
                self.resumed += file.size
                self._progress.advance(file.size, file.relative_path)
            else:
                await self._download_or_retry(file)
        except FileChanged as why:
            self.failures.append(f"{escape_name(file.relative_path)} {why}")
            return
        except asyncssh.SFTPError as error:
            raise translate_sftp_error(escape_name(file.relative_path), error) from None
        self._progress.finish_file(file.relative_path)

    async def _download_or_retry(self, file: SftpRemoteFile) -> None:
        try:
            if not await self._download_file(file, whole=False):
                now = await self._walk.refresh_file(file)
                if now is None or not await self._download_file(now, whole=True):
                    raise FileChanged("changed while it was read")
        except (*NOT_FOUND_ERRORS, asyncssh.SFTPPermissionDenied) as error:
            gone = isinstance(error, NOT_FOUND_ERRORS)
            raise FileChanged("vanished" if gone else "cannot be read there") from None

    async def _download_file(self, file: SftpRemoteFile, *, whole: bool) -> bool:
        """Whether it has come, byte for byte as it lies there now; else its partial is gone.

        ``whole``: does not go on from what an earlier try has brought.
        """
        handle, _ = self._target.open_growing_partial(file.name, file.partial_name)
        try:
            if whole:
                self._target.resize_partial(file.name, handle, 0)
            mine = await self._fetch_to_partial(file, handle)
            self._idle_timeout.reset(file.size / SLOW_DIGEST_RATE)
            (theirs,) = await self._hasher.hash_files(
                [file.path], timeout=DIGEST_TIMEOUT + file.size / SLOW_DIGEST_RATE
            )
            self._idle_timeout.reset()
            if mine == theirs and os.fstat(handle).st_size == file.size:
                time = file.mtime * 10**9
                if self._remote_clock is not None and file.mtime >= self._remote_clock:
                    time += RACY_MTIME_NS
                self._target.commit_partial(file.name, file.partial_name, handle, file.mode, time)
                return True
            self._target.delete_partial(file.partial_name)
            return False
        finally:
            os.close(handle)

    async def _fetch_to_partial(self, file: SftpRemoteFile, handle: int) -> str:
        """The remote file into its partial, going on from what is there; the digest of what lies here then.

        Empty where the file is another one by now.
        """
        digest, at = sha256(), 0
        with self._target.convert_errors(file.name):
            while data := os.pread(handle, CHUNK_SIZE, at):
                digest.update(data)
                at += len(data)
        self._idle_timeout.reset()  # a long look at our own disk is no silence of the other side
        self.resumed += at
        self._progress.advance(at, file.relative_path)
        async with self._sftp.open(file.path, "rb", encoding=None) as far:
            # Whatever there is by now, no more is taken than was listed.
            while data := await self._read_chunk(far, at, min(CHUNK_SIZE, max(0, file.size - at))):
                self._target.write_partial(file.name, handle, memoryview(data), at)
                digest.update(data)
                at += len(data)
                self.sent += len(data)
                self._progress.advance(len(data), file.relative_path)
            unchanged = file.is_unchanged(await far.stat())
            self._idle_timeout.reset()
        with self._target.convert_errors(file.name):
            os.fsync(handle)
        return digest.hexdigest() if unchanged else ""

    async def _read_chunk(self, file: asyncssh.SFTPClientFile, at: int, size: int) -> bytes:
        """Up to ``size`` bytes; fewer at the end of the file."""
        data, come = bytearray(size), 0
        async for where, piece in await file.read_parallel(size, at):
            self._idle_timeout.reset()
            come += len(piece)
            if come > size or where < at or where + len(piece) > at + size:
                raise TransferError("the machine sends more than was asked for")
            data[where - at : where - at + len(piece)] = piece
        return bytes(data[:come])
