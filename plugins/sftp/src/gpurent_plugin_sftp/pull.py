"""Down: the far side is hostile.

Its names are judged, its links not followed, and all writing goes through open folders.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import asyncssh
from attrs import define, field, frozen

from gpurent.api import Link, Progress, Pull, Skipped, TransferError, TransferReport, objection, shown
from gpurent_plugin_sftp.remote import Hashes, far_side, raw, refused

PARTS = ".gpurent-part"
CHUNK = 4 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@frozen(kw_only=True)
class Far:
    """A remote file: ``path`` there, ``name`` below the local target as judged components."""

    path: str
    name: tuple[str, ...]
    size: int
    mode: int
    mtime: int

    @property
    def part(self) -> str:
        return sha256(
            f"{self.path}\0{self.size}\0{self.mtime}".encode("utf-8", "surrogateescape")
        ).hexdigest()[:40]


@define
class Found:
    """What the far side says that there is."""

    files: list[Far] = field(factory=list)
    folders: list[tuple[str, ...]] = field(factory=list)
    skipped: list[Skipped] = field(factory=list)
    missing: list[str] = field(factory=list)
    seen: int = 0
    size: int = 0


class Walk:
    """Our own walk, with our own limits: nothing of the far side's say-so decides how long it lasts."""

    def __init__(self, sftp: asyncssh.SFTPClient, cargo: Pull) -> None:
        self._sftp, self._limits = sftp, cargo.limits
        self.found = Found()

    async def source(self, path: str) -> None:
        try:
            attrs = await self._sftp.lstat(path)
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            self.found.missing.append(path)
            return
        name = posixpath.basename(posixpath.normpath(path))
        why = objection(name, self._limits.name)
        if why:
            raise TransferError(f"{shown(path)} cannot be brought home: its name {why}")
        await self._one(path, (name,), attrs)

    async def _one(self, path: str, name: tuple[str, ...], attrs: asyncssh.SFTPAttrs) -> None:
        self._count(attrs)
        if attrs.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
            await self._folder(path, name)
        elif attrs.type == asyncssh.FILEXFER_TYPE_REGULAR:
            self.found.files.append(
                Far(
                    path=path,
                    name=name,
                    size=attrs.size or 0,
                    mode=stat.S_IMODE(attrs.permissions or 0o644) & 0o777,
                    mtime=attrs.mtime or 0,
                )
            )
        else:
            self.found.skipped.append(Skipped(name=shown("/".join(name)), why="is a link or a special file"))

    def _count(self, attrs: asyncssh.SFTPAttrs) -> None:
        self.found.seen += 1
        self.found.size += attrs.size or 0 if attrs.type == asyncssh.FILEXFER_TYPE_REGULAR else 0
        if self.found.seen > self._limits.files or self.found.size > self._limits.total:
            raise TransferError(
                f"the machine lists more than {self._limits.files} names or {self._limits.total} bytes",
                hint="Nothing was written. Ask for less: name single folders or files.",
            )

    async def _folder(self, path: str, name: tuple[str, ...]) -> None:
        if len(name) > self._limits.depth:
            raise TransferError(
                f"{shown(path)} lies deeper than {self._limits.depth} folders", hint="Nothing was written."
            )
        self.found.folders.append(name)
        inside: dict[str, asyncssh.SFTPAttrs] = {}
        async for entry in self._sftp.scandir(path):
            child = (
                entry.filename
                if isinstance(entry.filename, str)
                else entry.filename.decode("utf-8", "replace")
            )
            if child in (".", ".."):
                continue
            why = objection(child, self._limits.name) or ("came twice" if child in inside else "")
            if why or isinstance(entry.filename, bytes):
                self.found.skipped.append(Skipped(name=shown(child), why=why or "is not UTF-8"))
                self._count(entry.attrs)
                continue
            inside[child] = entry.attrs
            if len(inside) + self.found.seen > self._limits.files:
                raise TransferError(f"{shown(path)} lists more than {self._limits.files} names")
        for child, attrs in sorted(inside.items()):
            await self._one(posixpath.join(path, child), (*name, child), attrs)


class Puller:
    """One pull into one open folder."""

    def __init__(self, link: Link, sftp: asyncssh.SFTPClient, root: int, progress: Progress) -> None:
        self._sftp, self._root, self._progress = sftp, root, progress
        self._hashes = Hashes(link, sftp)
        self.sent = self.resumed = 0

    def folder(self, name: tuple[str, ...]) -> int:
        """An open handle of the folder ``name`` below the root, made if missing; a link in its way is refused."""
        here = os.dup(self._root)
        try:
            for part in name:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=here)
                below = os.open(part, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
        except OSError as error:
            os.close(here)
            why = (
                "a link or a file is in the way"
                if error.errno in (errno.ELOOP, errno.ENOTDIR)
                else error.strerror
            )
            raise TransferError(f"{shown('/'.join(name))} cannot be written here: {why}") from None
        return here

    async def file(self, far: Far) -> None:
        handle = self.folder(far.name[:-1])
        try:
            if self._same(far, handle):
                self.resumed += far.size
                self._progress.advance(far.size, "/".join(far.name))
            else:
                await self._bring(far, handle)
        finally:
            os.close(handle)
        self._progress.file_done("/".join(far.name))

    def _same(self, far: Far, folder: int) -> bool:
        try:
            here = os.stat(far.name[-1], dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return stat.S_ISREG(here.st_mode) and (here.st_size, int(here.st_mtime)) == (far.size, far.mtime)

    async def _bring(self, far: Far, folder: int) -> None:
        parts = self.folder((PARTS,))
        try:
            for whole in (False, True):
                mine = await self._fetch(far, parts, whole)
                (theirs,) = await self._hashes.of([far.path])
                if mine == theirs:
                    break
            else:
                os.unlink(far.part, dir_fd=parts)
                raise TransferError(
                    f"{shown('/'.join(far.name))} changed on the machine while it was read",
                    hint="Pull again.",
                )
            self._settle(far, parts, folder)
        except ConnectionError:
            raise  # the line's, not the disk's
        except OSError as error:
            raise _local(far, error) from None
        finally:
            os.close(parts)

    async def _fetch(self, far: Far, parts: int, whole: bool) -> str:
        """The remote file into its partial, going on from what is there; the digest of what lies here then."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_TRUNC if whole else 0)
        with os.fdopen(os.open(far.part, flags, 0o600, dir_fd=parts), "r+b") as local:
            digest = sha256()
            while data := local.read(CHUNK):
                digest.update(data)
            at = local.tell()
            self.resumed += at
            self._progress.advance(at, "/".join(far.name))
            async with self._sftp.open(far.path, "rb", encoding=None) as file:
                while True:
                    # Whatever size it claims, no more than that is taken.
                    data = raw(await file.read(CHUNK, at))[: max(0, far.size - at)]
                    if not data:
                        break
                    local.write(data)
                    digest.update(data)
                    at += len(data)
                    self.sent += len(data)
                    self._progress.advance(len(data), "/".join(far.name))
            local.flush()
            os.fsync(local.fileno())
        return digest.hexdigest()

    def _settle(self, far: Far, parts: int, folder: int) -> None:
        handle = os.open(far.part, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parts)
        try:
            os.fchmod(handle, far.mode | 0o600)
            os.utime(handle, (far.mtime, far.mtime))
        finally:
            os.close(handle)
        os.rename(far.part, far.name[-1], src_dir_fd=parts, dst_dir_fd=folder)


def _local(far: Far, error: OSError) -> TransferError:
    if error.errno == errno.ENOSPC:
        return TransferError(
            "the disk of this computer is full", hint="Free some space, then pull again; it goes on."
        )
    return TransferError(f"{shown('/'.join(far.name))} cannot be written here: {error.strerror}")


async def pull(link: Link, cargo: Pull, progress: Progress, seconds: Callable[[], float]) -> TransferReport:
    """Bring ``cargo`` home; a source that is missing is told at the end, after the others came."""
    async with far_side(link) as sftp:
        walk = Walk(sftp, cargo)
        for source in cargo.sources:
            await walk.source(source)
        found = walk.found
        progress.total(len(found.files), found.size)
        await asyncio.to_thread(_make, cargo.target)
        root = os.open(cargo.target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            puller = Puller(link, sftp, root, progress)
            for name in found.folders:
                os.close(puller.folder(name))
            for far in found.files:
                try:
                    await puller.file(far)
                except asyncssh.SFTPError as error:
                    raise refused(shown("/".join(far.name)), error) from None
            _sweep(root)
        finally:
            os.close(root)
    if found.missing:
        names = ", ".join(shown(name) for name in found.missing)
        raise TransferError(f"not on the machine: {names}", hint="What was there has come home.")
    return TransferReport(
        files=len(found.files),
        total=found.size,
        sent=puller.sent,
        resumed=puller.resumed,
        seconds=seconds(),
        skipped=tuple(found.skipped),
    )


def _make(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)


def _sweep(root: int) -> None:
    """The room for partials goes when it is empty."""
    try:
        os.rmdir(PARTS, dir_fd=root)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise
