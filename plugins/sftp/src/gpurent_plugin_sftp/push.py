"""Push files: partials under safe names, verified in batches, then moved to their final names."""

from __future__ import annotations

import asyncio
import errno
import os
import posixpath
from hashlib import sha256

import asyncssh

from gpurent.api import (
    FileProblem,
    Progress,
    PushRequest,
    SkipKind,
    SkippedFile,
    SshConnection,
    corrupted_upload_error,
    describe_unreadable,
    escape_name,
    remote_file_error,
    small_disk_error,
    upload_failures_error,
)
from gpurent_plugin_sftp.batches import MAX_IN_FLIGHT, make_batches
from gpurent_plugin_sftp.own_folders import PRIVATE_FILE, PRIVATE_FOLDER, make_private_folders
from gpurent_plugin_sftp.remote_hasher import RemoteHasher
from gpurent_plugin_sftp.scan import SftpSourceScan, SourceItem
from gpurent_plugin_sftp.sftp_client import (
    BLOCK_SIZE,
    FileChanged,
    run_concurrently,
    translate_sftp_error,
)

PARTIALS_DIR = ".gpurent/part"
CHUNK_SIZE = 4 << 20


class SftpPusher:
    """One push."""

    def __init__(
        self,
        connection: SshConnection,
        sftp: asyncssh.SFTPClient,
        request: PushRequest,
        scan: SftpSourceScan,
        progress: Progress,
    ) -> None:
        self._sftp, self._target, self._scan, self._progress = sftp, request.target, scan, progress
        self._connection, self._hasher = connection, RemoteHasher(connection, sftp)
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._remote_attrs: dict[str, asyncssh.SFTPAttrs] = {}
        self.sent = self.resumed = 0
        self.failures: list[tuple[str, str]] = []

    def _final_path(self, item: SourceItem) -> str:
        return posixpath.join(self._target, item.name) if self._target != "." else item.name

    async def run(self) -> None:
        """Send everything; files that could not be sent raise a `TransferError` at the end."""
        self._progress.set_total(self._scan.files, self._scan.size)
        await make_private_folders(self._connection, self._sftp, self._target, PARTIALS_DIR)
        folders = [item for item in self._scan.items if item.kind == "folder"]
        files = [item for item in self._scan.items if item.kind == "file"]
        await run_concurrently(self._list_folder(name) for name in ("", *(folder.name for folder in folders)))
        wanted = [file for file in files if not self._is_up_to_date(file)]
        await self._check_disk_space(sum(file.size for file in wanted))
        for folder in folders:
            if folder.name not in self._remote_attrs:
                await self._sftp.makedirs(self._final_path(folder), PRIVATE_FOLDER, exist_ok=True)
        for file in filter(self._is_up_to_date, files):
            self.resumed += file.size
            self._progress.advance(file.size, file.name)
            self._progress.finish_file(file.name)
        for batch in make_batches(wanted, _find_partial_path):
            await self._send_batch(batch)
        for item in self._scan.items:
            if item.kind == "link":
                await self._make_link(item)
        for folder in reversed(folders):
            await self._sftp.setstat(
                self._final_path(folder),
                asyncssh.SFTPAttrs(permissions=folder.file.find_mode(folder.mode) | 0o700),
            )
        if self.failures:
            raise upload_failures_error([(escape_name(name), why) for name, why in self.failures])

    async def _list_folder(self, name: str) -> None:
        """Record the remote contents of a folder that also exists locally."""
        path = posixpath.join(self._target, name) if name else self._target
        async with self._in_flight:
            try:
                async for entry in self._sftp.scandir(path):
                    if isinstance(entry.filename, str) and entry.filename not in (".", ".."):
                        self._remote_attrs[posixpath.join(name, entry.filename)] = entry.attrs
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                return

    def _is_up_to_date(self, item: SourceItem) -> bool:
        attrs = self._remote_attrs.get(item.name)
        if attrs is None or attrs.type != asyncssh.FILEXFER_TYPE_REGULAR:
            return False
        return (attrs.size, attrs.mtime) == (item.size, item.mtime)

    async def _check_disk_space(self, size: int) -> None:
        free = await self._free_bytes(self._target)
        if free is not None and size > free:
            raise small_disk_error(free, size, sent_nothing=True)

    async def _free_bytes(self, folder: str) -> int | None:
        """Return the free bytes on the disk of ``folder``; None if the machine does not report them."""
        try:
            disk = await self._sftp.statvfs(folder)
        except asyncssh.SFTPError:
            return None
        return disk.bavail * disk.frsize

    async def _send_batch(self, batch: list[SourceItem]) -> None:
        """Send all partials, verify them in one batch, move them to their final names."""
        digests = await run_concurrently(self._send_with_retry(item) for item in batch)
        sent = [(item, mine) for item, mine in zip(batch, digests, strict=True) if mine]
        remote = await self._hasher.hash_files([(_find_partial_path(item), item.size) for item, _ in sent])
        for (item, mine), theirs in zip(sent, remote, strict=True):
            if mine != theirs:
                await self._resend_file(item)
        gone = {name for name, _ in self.failures}
        await run_concurrently(self._finish_file(item) for item, _ in sent if item.name not in gone)

    async def _resend_file(self, item: SourceItem) -> None:
        """Send the whole file again: its remote partial, perhaps from an earlier attempt, was not what it should be."""
        await self._sftp.remove(_find_partial_path(item))
        mine = await self._send_with_retry(item)
        if not mine:
            return
        (theirs,) = await self._hasher.hash_files([(_find_partial_path(item), item.size)])
        if mine != theirs:
            raise corrupted_upload_error(escape_name(item.name))

    async def _send_with_retry(self, item: SourceItem) -> str:
        """Send the file, retrying once if it changes; return the digest of what was sent.

        The digest is empty if the file cannot be read or keeps changing; that is recorded and the others are still
        sent.
        """
        async with self._in_flight:
            for final in (False, True):
                try:
                    return await self._send_file(item)
                except FileChanged as why:
                    if final:
                        self.failures.append((item.name, str(why)))
                        return ""
                except asyncssh.SFTPFailure as error:
                    # Older SFTP versions have no error code for a full disk.
                    free = await self._free_bytes(PARTIALS_DIR)
                    if free is not None and free < CHUNK_SIZE:
                        raise remote_file_error(errno.ENOSPC, escape_name(item.name)) from None
                    raise translate_sftp_error(escape_name(item.name), error) from None
                except asyncssh.SFTPError as error:
                    raise translate_sftp_error(escape_name(item.name), error) from None
        raise AssertionError("unreachable")

    async def _send_file(self, item: SourceItem) -> str:
        """Send the local file into its partial, resuming where an earlier attempt stopped; return the local digest."""
        part = _find_partial_path(item)
        try:
            size = (await self._sftp.stat(part)).size or 0
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            size = 0
        have = size if size <= item.size else 0
        digest = sha256()
        try:
            handle = item.file.open_file()
        except OSError as error:
            raise FileChanged(describe_unreadable(error)) from None
        with os.fdopen(handle, "rb") as local:
            _check_unchanged(item, os.fstat(local.fileno()))
            async with self._sftp.open(part, "r+b" if have else "wb", PRIVATE_FILE, encoding=None) as far:
                at = 0
                while data := await asyncio.to_thread(
                    local.read, CHUNK_SIZE if item.size > BLOCK_SIZE else BLOCK_SIZE
                ):
                    digest.update(data)
                    new = data[max(0, have - at) :]
                    if new:
                        await far.write(new, at + len(data) - len(new))
                        self.sent += len(new)
                    self.resumed += len(data) - len(new)
                    at += len(data)
                    self._progress.advance(len(data), item.name)
                if at != item.size:
                    raise FileChanged(FileProblem.CHANGED.text)
            _check_unchanged(item, os.fstat(local.fileno()))
        return digest.hexdigest()

    async def _finish_file(self, item: SourceItem) -> None:
        async with self._in_flight:
            part = _find_partial_path(item)
            try:
                mode = item.file.find_mode(item.mode)
            except OSError:  # gone meanwhile
                mode = item.mode
            try:
                await self._sftp.setstat(
                    part, asyncssh.SFTPAttrs(permissions=mode, atime=item.mtime, mtime=item.mtime)
                )
                await self._sftp.posix_rename(part, self._final_path(item))
            except asyncssh.SFTPError as error:
                raise translate_sftp_error(escape_name(item.name), error) from None
        self._progress.finish_file(item.name)

    async def _make_link(self, item: SourceItem) -> None:
        path, attrs = self._final_path(item), self._remote_attrs.get(item.name)
        if attrs is not None:
            if attrs.type != asyncssh.FILEXFER_TYPE_SYMLINK:
                why = FileProblem.NAME_TAKEN.text
                self._scan.skipped.append(SkippedFile(name=item.name, reason=why, kind=SkipKind.LINK))
                return
            if await self._sftp.readlink(path) == item.link_target:
                return
            await self._sftp.remove(path)
        await self._sftp.symlink(item.link_target, path)


def _check_unchanged(item: SourceItem, now: os.stat_result) -> None:
    if (now.st_size, now.st_mtime_ns) != (item.size, item.mtime_ns):
        raise FileChanged(FileProblem.CHANGED.text)


def _find_partial_path(item: SourceItem) -> str:
    return f"{PARTIALS_DIR}/{item.partial_name}"
