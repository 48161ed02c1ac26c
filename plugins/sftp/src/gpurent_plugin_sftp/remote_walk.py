"""Lists remote files, within limits that also hold against a hostile machine."""

from __future__ import annotations

import os
import posixpath
import stat
from hashlib import sha256

import asyncssh
from attrs import evolve, frozen

from gpurent.api import (
    FileProblem,
    NameProblem,
    PullRequest,
    RemoteState,
    SafeDir,
    SkipKind,
    SkippedFile,
    SkippedFiles,
    TransferError,
    deep_folder_error,
    describe_bad_link,
    escape_name,
    find_name_problem,
    link_reject_reason,
    source_name_error,
    too_many_remote_files_error,
)
from gpurent_plugin_sftp import _
from gpurent_plugin_sftp.sftp_client import FileChanged, SftpSilenceTimeout, run_concurrently

MAX_LISTING_BYTES = 128 << 20  # bytes of the listing that are kept in memory
BYTES_PER_NAME = 400  # memory per name, not counting its characters
MAX_REQUESTS = 64  # concurrently
MAX_MTIME = 1 << 33  # seconds; a later mtime is invalid
# Marks the mtime (nanoseconds part) of a file that had changed in the very second in which it was downloaded. SFTP
# reports whole seconds only, so a later change in that second would not be noticed: such a file is downloaded again.
RACY_MTIME_NS = 1000
NOT_FOUND_ERRORS = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
Name = tuple[str, ...]


@frozen
class RemoteFileState:
    """The attributes of one remote name that are used here."""

    kind: int
    size: int
    mode: int
    mtime: int

    @classmethod
    def from_attrs(cls, attrs: asyncssh.SFTPAttrs) -> RemoteFileState:
        is_file = attrs.type == asyncssh.FILEXFER_TYPE_REGULAR
        mtime = attrs.mtime or 0
        return cls(
            attrs.type,
            attrs.size or 0 if is_file else 0,
            stat.S_IMODE(attrs.permissions or 0o644) & 0o777,
            mtime if mtime < MAX_MTIME else 0,
        )


@frozen(kw_only=True)
class SftpRemoteFile:
    """``path`` on the machine, ``name`` below the local target as accepted components."""

    path: str
    name: Name
    size: int
    mode: int
    mtime: int

    @property
    def relative_path(self) -> str:
        return "/".join(self.name)

    @property
    def partial_name(self) -> bytes:
        text = f"{self.path}\0{self.size}\0{self.mtime}"
        return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40].encode()

    def is_unchanged(self, attrs: asyncssh.SFTPAttrs) -> bool:
        """Return whether it is still the file that was listed."""
        state = RemoteFileState.from_attrs(attrs)
        listed = (asyncssh.FILEXFER_TYPE_REGULAR, self.size, self.mtime)
        return (state.kind, state.size, state.mtime) == listed

    def is_downloaded(self, target: SafeDir) -> bool:
        """Return whether it is already here, judging by size and mtime."""
        return target.has_file(self.name, RemoteState(self.size, self.mtime * 10**9, self._has_state))

    def _has_state(self, here: os.stat_result) -> bool:
        if not stat.S_ISREG(here.st_mode):
            return False
        if here.st_mtime_ns % 10**9 == RACY_MTIME_NS:
            return False
        return (here.st_size, int(here.st_mtime)) == (self.size, self.mtime)


class RemoteWalk:
    """Walks remote folders within our own limits: nothing that the remote side says decides how long it takes."""

    def __init__(
        self, sftp: asyncssh.SFTPClient, request: PullRequest, silence_timeout: SftpSilenceTimeout
    ) -> None:
        self._sftp, self._limits, self._silence_timeout = sftp, request.limits, silence_timeout
        self._names = request.names
        self._roots = [posixpath.basename(posixpath.normpath(source)) for source in request.sources]
        self._memory_used = self._entries_seen = self._files_seen = self.size = 0
        self.files: list[SftpRemoteFile] = []
        self.folders: list[Name] = []
        self._links: list[tuple[str, Name]] = []
        self._skipped = SkippedFiles()
        self.missing_sources: list[str] = []

    @property
    def skipped(self) -> tuple[SkippedFile, ...]:
        return tuple(self._skipped.items)

    def skip_name(self, name: str, why: str, kind: SkipKind = SkipKind.OTHER) -> None:
        self._skipped.add(_encode_name(name), why, kind)

    async def add_source(self, path: str) -> None:
        name = posixpath.basename(posixpath.normpath(path))
        if problem := find_name_problem(name, self._limits.max_name_bytes):
            raise source_name_error(escape_name(path), problem.text)
        try:
            state = RemoteFileState.from_attrs(await self._stat_source(path))
        except NOT_FOUND_ERRORS:
            self.missing_sources.append(path)
            return
        self._count_entry(state)
        if problem := self._find_problem((name,), state):
            self.size -= state.size
            await self._refuse_entry(posixpath.normpath(path), (name,), state, problem)
        else:
            await self._add_entry(path, (name,), state)

    def _find_problem(self, name: Name, state: RemoteFileState) -> NameProblem | None:
        is_folder = state.kind == asyncssh.FILEXFER_TYPE_DIRECTORY
        return self._names.find_problem(name, self._limits.max_name_bytes, is_folder=is_folder)

    async def _stat_source(self, path: str) -> asyncssh.SFTPAttrs:
        """Follow a link to a folder if the path ends in a slash."""
        if path.endswith("/"):
            found = await self._sftp.stat(posixpath.normpath(path))
            if found.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
                return found
        return await self._sftp.lstat(posixpath.normpath(path))

    async def read_links(self) -> list[tuple[Name, str]]:
        """Return the names and targets of the links that may be created here."""
        good: list[tuple[Name, str]] = []
        for start in range(0, len(self._links), MAX_REQUESTS):
            links = self._links[start : start + MAX_REQUESTS]
            targets = await run_concurrently(self._read_link(path) for path, _name in links)
            for (_path, name), target in zip(links, targets, strict=True):
                why = link_reject_reason(name[:-1], target, self._roots, self._limits.max_name_bytes)
                if why:
                    self.skip_name("/".join(name), describe_bad_link(why), SkipKind.LINK)
                else:
                    self._reserve_memory(len(target))
                    good.append((name, target))
        return good

    async def _read_link(self, path: str) -> str:
        """Return a link's target; bytes that are not UTF-8 become surrogates, which are rejected as a name."""
        try:
            target = await self._sftp.readlink(path.encode())
        except (*NOT_FOUND_ERRORS, asyncssh.SFTPFailure, IndexError):
            return ""
        finally:
            self._silence_timeout.reset()
        return target.decode("utf-8", "surrogateescape")

    async def refresh_file(self, file: SftpRemoteFile) -> SftpRemoteFile:
        """Return the file in its current state.

        Raises `FileChanged` if it is no longer a file, or if the total size now exceeds the limit, and
        `asyncssh.SFTPNoSuchFile` if it is gone.
        """
        state = RemoteFileState.from_attrs(await self._sftp.lstat(file.path))
        self.size += state.size - file.size
        if state.kind != asyncssh.FILEXFER_TYPE_REGULAR or self.size > self._limits.max_total_bytes:
            raise FileChanged(FileProblem.CHANGED.text)
        return evolve(file, size=state.size, mode=state.mode, mtime=state.mtime)

    async def _add_entry(self, path: str, name: Name, state: RemoteFileState) -> None:
        if state.kind == asyncssh.FILEXFER_TYPE_DIRECTORY:
            await self._add_folder(path, name)
        elif state.kind == asyncssh.FILEXFER_TYPE_REGULAR:
            file = SftpRemoteFile(path=path, name=name, size=state.size, mode=state.mode, mtime=state.mtime)
            self.files.append(file)
            self._reserve_memory(len(path))
        elif state.kind == asyncssh.FILEXFER_TYPE_SYMLINK:
            self._links.append((path, name))
            self._reserve_memory(len(path))
        else:
            self.skip_name("/".join(name), FileProblem.SPECIAL_FILE.text, SkipKind.SPECIAL)

    def _count_entry(self, state: RemoteFileState) -> None:
        """Raise a `TransferError` if a limit is exceeded; entries that are not files may be as many again."""
        limits = self._limits
        self._entries_seen += 1
        self._files_seen += state.kind == asyncssh.FILEXFER_TYPE_REGULAR
        self.size += state.size
        if (
            self._files_seen > limits.max_files
            or self._entries_seen > 2 * limits.max_files
            or self.size > limits.max_total_bytes
        ):
            raise too_many_remote_files_error(limits, wrote_nothing=True)

    def _reserve_memory(self, length: int) -> None:
        self._memory_used += BYTES_PER_NAME + length
        if self._memory_used > MAX_LISTING_BYTES:
            raise TransferError(
                _("the machine lists more names than sftp can hold in memory"),
                hint=_("Download less: name individual folders or files. Or choose another --transfer."),
            )

    async def _add_folder(self, path: str, name: Name) -> None:
        if len(name) > self._limits.max_depth:
            raise deep_folder_error(escape_name(path), self._limits)
        try:
            inside = await self._list_folder(path, name)
        except (asyncssh.SFTPPermissionDenied, *NOT_FOUND_ERRORS):
            self.skip_name("/".join(name), FileProblem.UNREADABLE.text, SkipKind.UNREADABLE)
            return
        self.folders.append(name)
        for child, state in sorted(inside.items()):
            below, inner = posixpath.join(path, child), (*name, child)
            if problem := self._find_problem(inner, state):
                self.size -= state.size
                await self._refuse_entry(below, inner, state, problem)
            else:
                await self._add_entry(below, inner, state)

    async def _list_folder(self, path: str, name: Name) -> dict[str, RemoteFileState]:
        inside: dict[str, RemoteFileState] = {}
        async for entry in self._sftp.scandir(path.encode()):
            self._silence_timeout.reset()
            text = entry.filename if isinstance(entry.filename, bytes) else entry.filename.encode()
            self._reserve_memory(len(text))  # count the dots too: there may be endlessly many
            if text in (b".", b".."):
                continue
            state = RemoteFileState.from_attrs(entry.attrs)
            self._count_entry(state)
            child = text.decode("utf-8", "surrogateescape")
            if child in inside:
                self.skip_name("/".join((*name, child)), FileProblem.DUPLICATE.text)
                self.size -= state.size
            else:
                inside[child] = state
        return inside

    async def _refuse_entry(
        self, path: str, name: Name, state: RemoteFileState, problem: NameProblem
    ) -> None:
        """Record what may not be written under its name; a folder is walked for the files that it holds."""
        printed = "/".join(name)
        if name[-1] in ("", ".", "..") or "/" in name[-1]:
            self.skip_name(printed, problem.text)  # no real entry has such a name
        elif state.kind == asyncssh.FILEXFER_TYPE_REGULAR:
            self._skipped.add_refused_file(_encode_name(printed), problem, _encode_name(path), state.size)
        elif state.kind == asyncssh.FILEXFER_TYPE_DIRECTORY:
            await self._refuse_folder(path, name, problem)
        else:
            is_link = state.kind == asyncssh.FILEXFER_TYPE_SYMLINK
            self.skip_name(printed, problem.text, SkipKind.LINK if is_link else SkipKind.SPECIAL)

    async def _refuse_folder(self, path: str, name: Name, problem: NameProblem) -> None:
        if len(name) > self._limits.max_depth:
            raise deep_folder_error(escape_name(path), self._limits)
        self.skip_name("/".join(name), problem.text)
        try:
            async for entry in self._sftp.scandir(_encode_name(path)):
                self._silence_timeout.reset()
                text = entry.filename if isinstance(entry.filename, bytes) else entry.filename.encode()
                self._reserve_memory(len(text))
                if text in (b".", b".."):
                    continue
                state = RemoteFileState.from_attrs(entry.attrs)
                self._count_entry(state)
                self.size -= state.size
                child = text.decode("utf-8", "surrogateescape")
                await self._refuse_entry(posixpath.join(path, child), (*name, child), state, problem)
        except (asyncssh.SFTPPermissionDenied, *NOT_FOUND_ERRORS):
            self.skip_name("/".join(name), FileProblem.UNREADABLE.text, SkipKind.UNREADABLE)


def _encode_name(name: str) -> bytes:
    """Encode a name as the machine sent it: bytes that are not UTF-8 are kept."""
    return name.encode("utf-8", "surrogateescape")
