"""What a hostile far side lists, and what of it is taken."""

from __future__ import annotations

import posixpath
import stat
from hashlib import sha256

import asyncssh
from attrs import define, evolve, field, frozen

from gpurent.api import Pull, Skipped, TransferError, link_objection, objection, shown
from gpurent_plugin_sftp.patience import Patience
from gpurent_plugin_sftp.remote import all_of

MIND = 128 << 20  # bytes of what is listed that are kept in mind
EACH = 400  # of them, what one name takes beside its letters
TOLD = 10_000  # names that were skipped are told; more are not
FLIGHT = 64
LAST = 1 << 33  # seconds; a time of change beyond is none
GONE = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
Name = tuple[str, ...]


@frozen(kw_only=True)
class Far:
    """A remote file: ``path`` there, ``name`` below the local target as judged components."""

    path: str
    name: Name
    size: int
    mode: int
    mtime: int

    @property
    def part(self) -> str:
        return sha256(
            f"{self.path}\0{self.size}\0{self.mtime}".encode("utf-8", "surrogateescape")
        ).hexdigest()[:40]

    def still(self, now: asyncssh.SFTPAttrs) -> bool:
        """Whether it is the file that was listed."""
        told = Told.of(now)
        listed = (asyncssh.FILEXFER_TYPE_REGULAR, self.size, self.mtime)
        return (told.kind, told.size, told.mtime) == listed


@frozen
class Told:
    """What is said of one name, without what nobody asks for."""

    kind: int
    size: int
    mode: int
    mtime: int

    @classmethod
    def of(cls, attrs: asyncssh.SFTPAttrs) -> Told:
        is_file = attrs.type == asyncssh.FILEXFER_TYPE_REGULAR
        mtime = attrs.mtime or 0
        return cls(
            attrs.type,
            attrs.size or 0 if is_file else 0,
            stat.S_IMODE(attrs.permissions or 0o644) & 0o777,
            mtime if mtime < LAST else 0,
        )


@define
class Found:
    """What the far side says that there is."""

    files: list[Far] = field(factory=list)
    folders: list[Name] = field(factory=list)
    links: list[tuple[str, Name]] = field(factory=list)
    skipped: list[Skipped] = field(factory=list)
    missing: list[str] = field(factory=list)
    seen: int = 0
    files_seen: int = 0
    size: int = 0

    def skip(self, name: str, why: str) -> None:
        if len(self.skipped) < TOLD:
            self.skipped.append(Skipped(name=shown(name), why=why))


class Walk:
    """Our own walk, with our own limits: nothing of the far side's say-so decides how long it lasts."""

    def __init__(self, sftp: asyncssh.SFTPClient, cargo: Pull, patience: Patience) -> None:
        self._sftp, self._limits, self._patience = sftp, cargo.limits, patience
        self._tops = [posixpath.basename(posixpath.normpath(source)) for source in cargo.sources]
        self._kept = 0
        self.found = Found()

    async def source(self, path: str) -> None:
        name = posixpath.basename(posixpath.normpath(path))
        why = objection(name, self._limits.name)
        if why:
            raise TransferError(f"{shown(path)} cannot be brought home: its name {why}")
        try:
            told = Told.of(await self._sftp.lstat(path))
        except GONE:
            self.found.missing.append(path)
            return
        self._count(told)
        await self._one(path, (name,), told)

    async def links(self) -> list[tuple[Name, str]]:
        """Where the links that may be made here point."""
        good: list[tuple[Name, str]] = []
        for start in range(0, len(self.found.links), FLIGHT):
            some = self.found.links[start : start + FLIGHT]
            for (_, name), target in zip(
                some, await all_of(self._target(path) for path, _ in some), strict=True
            ):
                why = link_objection(name[:-1], target, self._tops, self._limits.name)
                if why:
                    self.found.skip("/".join(name), f"is a link, and {why}")
                else:
                    self._keep(len(target))
                    good.append((name, target))
        return good

    async def _target(self, path: str) -> str:
        """Where a link points; what is no UTF-8 in it is no name here either."""
        try:
            target = await self._sftp.readlink(path.encode())
        except (*GONE, asyncssh.SFTPFailure, IndexError):
            return ""
        finally:
            self._patience.heard()
        return target.decode("utf-8", "surrogateescape")

    async def again(self, far: Far) -> Far | None:
        """The same file as it is by now; None: it is none any more, or too large."""
        told = Told.of(await self._sftp.lstat(far.path))
        self.found.size += told.size - far.size
        if told.kind != asyncssh.FILEXFER_TYPE_REGULAR or self.found.size > self._limits.total:
            return None
        return evolve(far, size=told.size, mode=told.mode, mtime=told.mtime)

    async def _one(self, path: str, name: Name, told: Told) -> None:
        if told.kind == asyncssh.FILEXFER_TYPE_DIRECTORY:
            await self._folder(path, name)
        elif told.kind == asyncssh.FILEXFER_TYPE_REGULAR:
            far = Far(path=path, name=name, size=told.size, mode=told.mode, mtime=told.mtime)
            self.found.files.append(far)
            self._keep(len(path))
        elif told.kind == asyncssh.FILEXFER_TYPE_SYMLINK:
            self.found.links.append((path, name))
            self._keep(len(path))
        else:
            self.found.skip("/".join(name), "is a special file")

    def _count(self, told: Told) -> None:
        """Files have their limit, and what else has a name may be as many again."""
        self.found.seen += 1
        self.found.files_seen += told.kind == asyncssh.FILEXFER_TYPE_REGULAR
        self.found.size += told.size
        if (
            self.found.files_seen > self._limits.files
            or self.found.seen > 2 * self._limits.files
            or self.found.size > self._limits.total
        ):
            raise TransferError(
                f"the machine lists more than {self._limits.files} files or {self._limits.total} bytes",
                hint="Nothing was written. Ask for less: name single folders or files.",
            )

    def _keep(self, letters: int) -> None:
        self._kept += EACH + letters
        if self._kept > MIND:
            raise TransferError(
                "the machine lists more names than SFTP can keep in mind",
                hint="Ask for less: name single folders or files. Or take another --transfer.",
            )

    async def _folder(self, path: str, name: Name) -> None:
        if len(name) > self._limits.depth:
            raise TransferError(
                f"{shown(path)} lies deeper than {self._limits.depth} folders", hint="Nothing was written."
            )
        try:
            inside = await self._list(path, name)
        except (asyncssh.SFTPPermissionDenied, *GONE):
            self.found.skip("/".join(name), "cannot be read there")
            return
        self.found.folders.append(name)
        for child, told in sorted(inside.items()):
            await self._one(posixpath.join(path, child), (*name, child), told)

    async def _list(self, path: str, name: Name) -> dict[str, Told]:
        inside: dict[str, Told] = {}
        async for entry in self._sftp.scandir(path.encode()):
            self._patience.heard()
            text = entry.filename if isinstance(entry.filename, bytes) else entry.filename.encode()
            self._keep(len(text))  # dots too: also of them there may be no end
            if text in (b".", b".."):
                continue
            told = Told.of(entry.attrs)
            self._count(told)
            child = text.decode("utf-8", "surrogateescape")
            why = objection(child, self._limits.name) or ("came twice" if child in inside else "")
            if why:
                self.found.skip("/".join((*name, child)), why)
                self.found.size -= told.size
            else:
                inside[child] = told
        return inside
