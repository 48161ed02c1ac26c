"""Up: partials under safe names, verified in batches, then moved to their final names."""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections.abc import Callable
from hashlib import sha256

import asyncssh

from gpurent.api import Progress, Push, Skipped, SshConnection, TransferError, TransferReport, shown
from gpurent_plugin_sftp.remote import BLOCK, Hashes, all_of, far_side, refused
from gpurent_plugin_sftp.scan import Item, Scan

PARTS = ".gpurent/part"
FLIGHT = 16
BATCH_FILES, BATCH_SIZE = 100, 64 << 20
CHUNK = 4 << 20


class Changed(Exception):
    """The local file is not what it was when it was looked at."""


class Pusher:
    """One push."""

    def __init__(
        self, link: SshConnection, sftp: asyncssh.SFTPClient, cargo: Push, found: Scan, progress: Progress
    ) -> None:
        self._link, self._sftp, self._cargo, self._found, self._progress = link, sftp, cargo, found, progress
        self._hashes = Hashes(link, sftp)
        self._flight = asyncio.Semaphore(FLIGHT)
        self.sent = self.resumed = 0
        self.lost: list[tuple[str, str]] = []

    def _final(self, item: Item) -> str:
        return posixpath.join(self._cargo.target, item.name) if self._cargo.target != "." else item.name

    async def run(self) -> None:
        self._progress.total(self._found.files, self._found.size)
        await self._sftp.makedirs(self._cargo.target, exist_ok=True)
        await self._sftp.makedirs(PARTS, exist_ok=True)
        there = await self._listing()
        items = self._found.items
        wanted = [item for item in items if item.kind == "file" and not self._same(item, there)]
        await self._room_for(sum(item.size for item in wanted))
        for item in items:
            if item.kind == "folder" and item.name not in there:
                await self._sftp.makedirs(self._final(item), exist_ok=True)
        for item in items:
            if item.kind == "file" and self._same(item, there):
                self.resumed += item.size
                self._progress.advance(item.size, item.name)
                self._progress.file_done(item.name)
        for batch in _batches(wanted):
            await self._batch(batch)
        for item in items:
            if item.kind == "link":
                await self._link_to(item, there)
        for item in reversed(items):
            if item.kind == "folder":
                await self._sftp.setstat(self._final(item), asyncssh.SFTPAttrs(permissions=item.mode | 0o700))
        self._tell_lost()

    def _tell_lost(self) -> None:
        if self.lost:
            told = "; ".join(f"{shown(name)} {why}" for name, why in self.lost[:5])
            more = f" and {len(self.lost) - 5} more" if len(self.lost) > 5 else ""
            raise TransferError(
                told + more,
                hint="Everything else has arrived, and nothing half-written was left. Send again.",
            )

    def _same(self, item: Item, there: dict[str, asyncssh.SFTPAttrs]) -> bool:
        attrs = there.get(item.name)
        return attrs is not None and attrs.size == item.size and attrs.mtime == item.mtime and _is_file(attrs)

    async def _listing(self) -> dict[str, asyncssh.SFTPAttrs]:
        """What lies in the target where we want to put something: only folders that we have too are looked into."""
        found: dict[str, asyncssh.SFTPAttrs] = {}
        folders = ["", *(item.name for item in self._found.items if item.kind == "folder")]

        async def look(name: str) -> None:
            path = posixpath.join(self._cargo.target, name) if name else self._cargo.target
            async with self._flight:
                try:
                    async for entry in self._sftp.scandir(path):
                        if isinstance(entry.filename, str) and entry.filename not in (".", ".."):
                            found[posixpath.join(name, entry.filename)] = entry.attrs
                except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                    return

        await all_of(look(name) for name in folders)
        return found

    async def _room_for(self, size: int) -> None:
        try:
            disk = await self._sftp.statvfs(self._cargo.target)
        except (asyncssh.SFTPOpUnsupported, asyncssh.SFTPFailure):
            return
        free = disk.bavail * disk.frsize
        if size > free:
            raise TransferError(
                f"the machine has {free} bytes free, and {size} are to be sent",
                hint="Nothing was sent. Leave something out with .gpurentignore, or rent a larger disk.",
            )

    async def _batch(self, batch: list[Item]) -> None:
        """Send all partials, verify them in one go, move them to their names."""
        digests = await all_of(self._once_more(item) for item in batch)
        sent = [(item, mine) for item, mine in zip(batch, digests, strict=True) if mine]
        remote = await self._hashes.of([f"{PARTS}/{item.part}" for item, _ in sent])
        for (item, mine), theirs in zip(sent, remote, strict=True):
            if mine != theirs:
                await self._again(item)
        gone = {name for name, _ in self.lost}
        await all_of(self._finish(item) for item, _ in sent if item.name not in gone)

    async def _again(self, item: Item) -> None:
        """What lay there of an earlier try was not what it seemed: send it whole."""
        await self._sftp.remove(f"{PARTS}/{item.part}")
        mine = await self._once_more(item)
        if not mine:
            return
        (theirs,) = await self._hashes.of([f"{PARTS}/{item.part}"])
        if mine != theirs:
            raise TransferError(f"{shown(item.name)} did not arrive as it is here", hint="Send again.")

    async def _once_more(self, item: Item) -> str:
        """The digest of what was sent; empty where it cannot be read or does not stand still: noted, others go."""
        async with self._flight:
            for final in (False, True):
                try:
                    return await self._send(item)
                except Changed as why:
                    if final:
                        self.lost.append((item.name, str(why)))
                        return ""
                except asyncssh.SFTPFailure as error:
                    # Servers of the old protocol have no word for a full disk.
                    raise await self._full(item) or refused(shown(item.name), error) from None
                except asyncssh.SFTPError as error:
                    raise refused(shown(item.name), error) from None
        raise AssertionError("unreachable")

    async def _full(self, item: Item) -> TransferError | None:
        try:
            disk = await self._sftp.statvfs(PARTS)
        except asyncssh.SFTPError:
            return None
        if disk.bavail * disk.frsize >= CHUNK:
            return None
        return TransferError(
            f"the machine's disk is full: {shown(item.name)}",
            hint="Free some space on the machine, then send again; it goes on.",
        )

    async def _send(self, item: Item) -> str:
        """The local file into its partial, going on where an earlier try stopped; its local digest."""
        part = f"{PARTS}/{item.part}"
        have = await self._size(part, item.size)
        digest = sha256()
        try:
            handle = os.open(item.path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise Changed(f"vanished or cannot be read: {error.strerror}") from None
        with os.fdopen(handle, "rb") as local:
            _must_be(item, os.fstat(local.fileno()))
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
                    raise Changed("changed while it was read")
            _must_be(item, os.fstat(local.fileno()))
        return digest.hexdigest()

    async def _size(self, part: str, limit: int) -> int:
        try:
            size = (await self._sftp.stat(part)).size or 0
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            return 0
        return size if size <= limit else 0

    async def _finish(self, item: Item) -> None:
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

    async def _link_to(self, item: Item, there: dict[str, asyncssh.SFTPAttrs]) -> None:
        path = self._final(item)
        if item.name in there:
            if not _is_link(there[item.name]):
                self._found.skipped.append(
                    Skipped(name=item.name, why="something else than a link has its name there")
                )
                return
            if await self._sftp.readlink(path) == item.link:
                return
            await self._sftp.remove(path)
        await self._sftp.symlink(item.link, path)


def _must_be(item: Item, now: os.stat_result) -> None:
    if (now.st_size, now.st_mtime_ns) != (item.size, item.mtime_ns):
        raise Changed("changed while it was read")


def _is_file(attrs: asyncssh.SFTPAttrs) -> bool:
    return attrs.type == asyncssh.FILEXFER_TYPE_REGULAR


def _is_link(attrs: asyncssh.SFTPAttrs) -> bool:
    return attrs.type == asyncssh.FILEXFER_TYPE_SYMLINK


def _batches(items: list[Item]) -> list[list[Item]]:
    made: list[list[Item]] = []
    size = BATCH_SIZE + 1
    for item in items:
        if size + item.size > BATCH_SIZE or len(made[-1]) >= BATCH_FILES:
            made.append([])
            size = 0
        made[-1].append(item)
        size += item.size
    return made


async def push(
    link: SshConnection, cargo: Push, found: Scan, progress: Progress, seconds: Callable[[], float]
) -> TransferReport:
    """Carry ``found`` up."""
    async with far_side(link) as sftp:
        pusher = Pusher(link, sftp, cargo, found, progress)
        await pusher.run()
    return TransferReport(
        files=found.files,
        total=found.size,
        sent=pusher.sent,
        resumed=pusher.resumed,
        seconds=seconds(),
        skipped=tuple(found.skipped),
    )
