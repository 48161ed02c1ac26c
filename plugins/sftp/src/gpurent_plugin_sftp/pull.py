"""Down: the far side is hostile.

Its names are judged, its links not followed, and all writing goes through open folders.
"""

from __future__ import annotations

import os
from contextlib import closing
from hashlib import sha256
from time import monotonic

import asyncssh

from gpurent.api import Progress, Pull, SafeDir, SshConnection, TransferError, TransferReport, shown
from gpurent_plugin_sftp.remote import (
    FileChanged,
    Hashes,
    IdleTimeout,
    clock_of,
    far_side,
    list_first,
    refused,
)
from gpurent_plugin_sftp.walk import GONE, UNSETTLED, RemoteFile, RemoteWalk

CHUNK = 4 << 20
DIGEST = 60.0  # seconds for a small file's
DISK = 5_000_000  # bytes a second at which a slow machine makes digests


async def pull(link: SshConnection, cargo: Pull, progress: Progress) -> TransferReport:
    """Fetch everything; what could not be fetched is reported at the end, after the others came."""
    idle_timeout = IdleTimeout()
    return await idle_timeout.guard(_pull(link, cargo, progress, idle_timeout))


async def _pull(
    link: SshConnection, cargo: Pull, progress: Progress, idle_timeout: IdleTimeout
) -> TransferReport:
    begun = monotonic()
    async with far_side(link) as sftp:
        clock = await clock_of(link)
        walk = RemoteWalk(sftp, cargo, idle_timeout)
        for source in cargo.sources:
            await walk.add_source(source)
        progress.total(len(walk.files), walk.size)
        with closing(SafeDir(cargo.target)) as target:
            puller = Puller(link, sftp, walk, target, progress, idle_timeout, clock)
            for name in walk.folders:
                target.make_folder(name)
            for file in walk.files:
                await puller.pull_file(file)
            # Last, when nothing is written any more that could go through them.
            for name, goal in await walk.read_links():
                if not target.make_link(name, goal):
                    walk.skip("/".join(name), "is a link, and a folder has its name here")
    if puller.lost:
        raise TransferError(list_first(puller.lost), hint="Everything else has come home. Pull again.")
    if walk.missing:
        names = ", ".join(shown(name) for name in walk.missing)
        raise TransferError(f"not on the machine: {names}", hint="What was there has come home.")
    return TransferReport(
        files=len(walk.files),
        total=walk.size,
        sent=puller.sent,
        resumed=puller.resumed,
        seconds=monotonic() - begun,
        skipped=tuple(walk.skipped),
    )


class Puller:
    """The files of one pull."""

    def __init__(
        self,
        link: SshConnection,
        sftp: asyncssh.SFTPClient,
        walk: RemoteWalk,
        target: SafeDir,
        progress: Progress,
        idle_timeout: IdleTimeout,
        clock: int | None,
    ) -> None:
        self._sftp, self._walk, self._target = sftp, walk, target
        self._progress, self._idle_timeout = progress, idle_timeout
        self._hashes = Hashes(link, sftp)
        self._clock = clock
        self.sent = self.resumed = 0
        self.lost: list[str] = []

    async def pull_file(self, file: RemoteFile) -> None:
        """That it vanished, cannot be read or does not stand still is noted, and others come."""
        try:
            if file.is_in(self._target):
                self.resumed += file.size
                self._progress.advance(file.size, file.text)
            else:
                await self._download_or_retry(file)
        except FileChanged as why:
            self.lost.append(f"{shown(file.text)} {why}")
            return
        except asyncssh.SFTPError as error:
            raise refused(shown(file.text), error) from None
        self._progress.file_done(file.text)

    async def _download_or_retry(self, file: RemoteFile) -> None:
        try:
            if not await self._download(file, whole=False):
                now = await self._walk.look_again(file)
                if now is None or not await self._download(now, whole=True):
                    raise FileChanged("changed while it was read")
        except (*GONE, asyncssh.SFTPPermissionDenied) as error:
            gone = isinstance(error, GONE)
            raise FileChanged("vanished" if gone else "cannot be read there") from None

    async def _download(self, file: RemoteFile, *, whole: bool) -> bool:
        """Whether it has come, byte for byte as it lies there now; else its partial is gone.

        ``whole``: does not go on from what an earlier try has brought.
        """
        handle, _ = self._target.open_growing_partial(file.name, file.partial)
        try:
            if whole:
                self._target.resize_partial(file.name, handle, 0)
            mine = await self._fetch(file, handle)
            self._idle_timeout.reset(file.size / DISK)
            (theirs,) = await self._hashes.of([file.path], timeout=DIGEST + file.size / DISK)
            self._idle_timeout.reset()
            if mine == theirs and os.fstat(handle).st_size == file.size:
                time = file.mtime * 10**9
                if self._clock is not None and file.mtime >= self._clock:
                    time += UNSETTLED
                self._target.commit_partial(file.name, file.partial, handle, file.mode, time)
                return True
            self._target.drop_partial(file.partial)
            return False
        finally:
            os.close(handle)

    async def _fetch(self, file: RemoteFile, handle: int) -> str:
        """The remote file into its partial, going on from what is there; the digest of what lies here then.

        Empty where the file is another one by now.
        """
        digest, at = sha256(), 0
        with self._target.reporting(file.name):
            while data := os.pread(handle, CHUNK, at):
                digest.update(data)
                at += len(data)
        self._idle_timeout.reset()  # a long look at our own disk is no silence of the other side
        self.resumed += at
        self._progress.advance(at, file.text)
        async with self._sftp.open(file.path, "rb", encoding=None) as far:
            # Whatever there is by now, no more is taken than was listed.
            while data := await self._read(far, at, min(CHUNK, max(0, file.size - at))):
                self._target.write_partial(file.name, handle, memoryview(data), at)
                digest.update(data)
                at += len(data)
                self.sent += len(data)
                self._progress.advance(len(data), file.text)
            unchanged = file.has_state(await far.stat())
            self._idle_timeout.reset()
        with self._target.reporting(file.name):
            os.fsync(handle)
        return digest.hexdigest() if unchanged else ""

    async def _read(self, file: asyncssh.SFTPClientFile, at: int, size: int) -> bytes:
        """Up to ``size`` bytes; fewer at the end of the file."""
        data, come = bytearray(size), 0
        async for where, piece in await file.read_parallel(size, at):
            self._idle_timeout.reset()
            come += len(piece)
            if come > size or where < at or where + len(piece) > at + size:
                raise TransferError("the machine sends more than was asked for")
            data[where - at : where - at + len(piece)] = piece
        return bytes(data[:come])
