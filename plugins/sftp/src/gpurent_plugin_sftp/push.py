"""Up: partials under safe names, verified in batches, then moved to their final names."""

from __future__ import annotations

import asyncio
import os
import posixpath
from hashlib import sha256

import asyncssh

from gpurent.api import Progress, Push, Skipped, SshConnection, TransferError, shown
from gpurent_plugin_sftp.remote import BLOCK, FileChanged, Hashes, all_of, disk_full, list_first, refused
from gpurent_plugin_sftp.scan import SourceItem, SourceScan

PARTS = ".gpurent/part"
FLIGHT = 16
BATCH_FILES, BATCH_SIZE = 100, 64 << 20
CHUNK = 4 << 20


class Pusher:
    """One push."""

    def __init__(
        self,
        link: SshConnection,
        sftp: asyncssh.SFTPClient,
        cargo: Push,
        found: SourceScan,
        progress: Progress,
    ) -> None:
        self._sftp, self._target, self._found, self._progress = sftp, cargo.target, found, progress
        self._hashes = Hashes(link, sftp)
        self._flight = asyncio.Semaphore(FLIGHT)
        self._there: dict[str, asyncssh.SFTPAttrs] = {}
        self.sent = self.resumed = 0
        self.lost: list[tuple[str, str]] = []

    def _final(self, item: SourceItem) -> str:
        return posixpath.join(self._target, item.name) if self._target != "." else item.name

    async def run(self) -> None:
        """Send everything; what could not be sent is reported at the end."""
        self._progress.total(self._found.files, self._found.size)
        await self._sftp.makedirs(self._target, exist_ok=True)
        await self._sftp.makedirs(PARTS, exist_ok=True)
        folders = [item for item in self._found.items if item.kind == "folder"]
        files = [item for item in self._found.items if item.kind == "file"]
        await all_of(self._list_folder(name) for name in ("", *(folder.name for folder in folders)))
        wanted = [file for file in files if not self._is_there(file)]
        await self._check_disk(sum(file.size for file in wanted))
        for folder in folders:
            if folder.name not in self._there:
                await self._sftp.makedirs(self._final(folder), exist_ok=True)
        for file in filter(self._is_there, files):
            self.resumed += file.size
            self._progress.advance(file.size, file.name)
            self._progress.file_done(file.name)
        for batch in _batches(wanted):
            await self._send_batch(batch)
        for item in self._found.items:
            if item.kind == "link":
                await self._make_link(item)
        for folder in reversed(folders):
            await self._sftp.setstat(self._final(folder), asyncssh.SFTPAttrs(permissions=folder.mode | 0o700))
        if self.lost:
            raise TransferError(
                list_first([f"{shown(name)} {why}" for name, why in self.lost]),
                hint="Everything else has arrived, and nothing half-written was left. Send again.",
            )

    async def _list_folder(self, name: str) -> None:
        """Learn what lies there of a folder that we have too."""
        path = posixpath.join(self._target, name) if name else self._target
        async with self._flight:
            try:
                async for entry in self._sftp.scandir(path):
                    if isinstance(entry.filename, str) and entry.filename not in (".", ".."):
                        self._there[posixpath.join(name, entry.filename)] = entry.attrs
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                return

    def _is_there(self, item: SourceItem) -> bool:
        attrs = self._there.get(item.name)
        if attrs is None or attrs.type != asyncssh.FILEXFER_TYPE_REGULAR:
            return False
        return (attrs.size, attrs.mtime) == (item.size, item.mtime)

    async def _check_disk(self, size: int) -> None:
        free = await self._free_bytes(self._target)
        if free is not None and size > free:
            raise TransferError(
                f"the machine has {free} bytes free, and {size} are to be sent",
                hint="Nothing was sent. Leave something out with .gpurentignore, or rent a larger disk.",
            )

    async def _free_bytes(self, folder: str) -> int | None:
        """None where the machine does not say."""
        try:
            disk = await self._sftp.statvfs(folder)
        except asyncssh.SFTPError:
            return None
        return disk.bavail * disk.frsize

    async def _send_batch(self, batch: list[SourceItem]) -> None:
        """Send all partials, verify them in one go, move them to their names."""
        digests = await all_of(self._try_send(item) for item in batch)
        sent = [(item, mine) for item, mine in zip(batch, digests, strict=True) if mine]
        remote = await self._hashes.of([f"{PARTS}/{item.part}" for item, _ in sent])
        for (item, mine), theirs in zip(sent, remote, strict=True):
            if mine != theirs:
                await self._send_whole(item)
        gone = {name for name, _ in self.lost}
        await all_of(self._finish(item) for item, _ in sent if item.name not in gone)

    async def _send_whole(self, item: SourceItem) -> None:
        """What lay there of an earlier try was not what it seemed: send it whole."""
        await self._sftp.remove(f"{PARTS}/{item.part}")
        mine = await self._try_send(item)
        if not mine:
            return
        (theirs,) = await self._hashes.of([f"{PARTS}/{item.part}"])
        if mine != theirs:
            raise TransferError(f"{shown(item.name)} did not arrive as it is here", hint="Send again.")

    async def _try_send(self, item: SourceItem) -> str:
        """The digest of what was sent, at the second try if need be.

        Empty where it cannot be read or does not stand still: that is noted, and others go.
        """
        async with self._flight:
            for final in (False, True):
                try:
                    return await self._send(item)
                except FileChanged as why:
                    if final:
                        self.lost.append((item.name, str(why)))
                        return ""
                except asyncssh.SFTPFailure as error:
                    # Servers of the old protocol have no word for a full disk.
                    free = await self._free_bytes(PARTS)
                    if free is not None and free < CHUNK:
                        raise disk_full(shown(item.name)) from None
                    raise refused(shown(item.name), error) from None
                except asyncssh.SFTPError as error:
                    raise refused(shown(item.name), error) from None
        raise AssertionError("unreachable")

    async def _send(self, item: SourceItem) -> str:
        """The local file into its partial, going on where an earlier try stopped; its local digest."""
        part = f"{PARTS}/{item.part}"
        try:
            size = (await self._sftp.stat(part)).size or 0
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            size = 0
        have = size if size <= item.size else 0
        digest = sha256()
        try:
            handle = os.open(item.path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise FileChanged(f"vanished or cannot be read: {error.strerror}") from None
        with os.fdopen(handle, "rb") as local:
            _check_unchanged(item, os.fstat(local.fileno()))
            async with self._sftp.open(part, "r+b" if have else "wb", encoding=None) as far:
                at = 0
                while data := await asyncio.to_thread(local.read, CHUNK if item.size > BLOCK else BLOCK):
                    digest.update(data)
                    new = data[max(0, have - at) :]
                    if new:
                        await far.write(new, at + len(data) - len(new))
                        self.sent += len(new)
                    self.resumed += len(data) - len(new)
                    at += len(data)
                    self._progress.advance(len(data), item.name)
                if at != item.size:
                    raise FileChanged("changed while it was read")
            _check_unchanged(item, os.fstat(local.fileno()))
        return digest.hexdigest()

    async def _finish(self, item: SourceItem) -> None:
        async with self._flight:
            part = f"{PARTS}/{item.part}"
            try:
                await self._sftp.setstat(
                    part, asyncssh.SFTPAttrs(permissions=item.mode, atime=item.mtime, mtime=item.mtime)
                )
                await self._sftp.posix_rename(part, self._final(item))
            except asyncssh.SFTPError as error:
                raise refused(shown(item.name), error) from None
        self._progress.file_done(item.name)

    async def _make_link(self, item: SourceItem) -> None:
        path, attrs = self._final(item), self._there.get(item.name)
        if attrs is not None:
            if attrs.type != asyncssh.FILEXFER_TYPE_SYMLINK:
                why = "something else than a link has its name there"
                self._found.skipped.append(Skipped(name=item.name, why=why))
                return
            if await self._sftp.readlink(path) == item.link:
                return
            await self._sftp.remove(path)
        await self._sftp.symlink(item.link, path)


def _check_unchanged(item: SourceItem, now: os.stat_result) -> None:
    if (now.st_size, now.st_mtime_ns) != (item.size, item.mtime_ns):
        raise FileChanged("changed while it was read")


def _batches(items: list[SourceItem]) -> list[list[SourceItem]]:
    made: list[list[SourceItem]] = []
    size = BATCH_SIZE + 1
    for item in items:
        if size + item.size > BATCH_SIZE or len(made[-1]) >= BATCH_FILES:
            made.append([])
            size = 0
        made[-1].append(item)
        size += item.size
    return made
