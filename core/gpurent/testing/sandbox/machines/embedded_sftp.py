"""SFTP of an embedded machine: the same absolute paths as in its shell, and a disk that can be full."""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import asyncssh
from asyncssh.sftp import SFTPAttrs, SFTPName

_NS_PER_SECOND, _UINT32 = 10**9, 0xFFFFFFFF
_WRITE_FLAGS = asyncssh.FXF_WRITE | asyncssh.FXF_APPEND


class DiskQuota:
    """A disk's size and usage.

    What the shell writes is noticed when the next file is opened; what SFTP writes is counted at once.
    """

    def __init__(self, folder: Path, limit: int | None) -> None:
        self._folder = folder
        self._limit = limit
        self._used = 0
        self.is_full = False
        """Whether nothing more fits, whatever the limit is."""

    def measure_usage(self) -> None:
        """Measure the current usage."""
        if self._limit is not None:
            self._used = _measure_tree(self._folder)

    def claim_bytes(self, growth: int) -> None:
        """Reserve ``growth`` bytes. Raises ``OSError`` (ENOSPC) if they do not fit."""
        if growth <= 0:
            return
        if self.is_full or (self._limit is not None and self._used + growth > self._limit):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._used += growth


class MachineSftp(asyncssh.SFTPServer):
    """An SFTP server that is not confined; relative paths start at the machine's home."""

    def __init__(self, channel: "asyncssh.SSHServerChannel[bytes]", home: str, quota: DiskQuota) -> None:
        super().__init__(channel)
        self._home = os.fsencode(home)
        self._quota = quota

    def exit(self) -> None:
        # As sshd does; without a status, scp considers the copy failed.
        self.channel.exit(0)

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(self._home, path)  # noqa: PTH118  bytes

    def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> object:
        if pflags & _WRITE_FLAGS:
            self._quota.measure_usage()
        return super().open(path, pflags, attrs)

    def stat(self, path: bytes) -> SFTPAttrs:
        return _make_attrs(os.stat(self.map_path(path)))  # noqa: PTH116  bytes

    def lstat(self, path: bytes) -> SFTPAttrs:
        return _make_attrs(os.lstat(self.map_path(path)))

    def fstat(self, file_obj: object) -> SFTPAttrs:
        file = cast(BinaryIO, file_obj)
        file.flush()
        return _make_attrs(os.fstat(file.fileno()))

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        for name in (b".", b"..", *os.listdir(self.map_path(path))):  # noqa: PTH208  bytes
            with suppress(FileNotFoundError):
                yield SFTPName(name, attrs=self.lstat(os.path.join(path, name)))  # noqa: PTH118  bytes

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        size = os.fstat(cast(BinaryIO, file_obj).fileno()).st_size
        self._quota.claim_bytes(offset + len(data) - size)
        written = super().write(file_obj, offset, data)
        return cast(int, written)


def _make_attrs(status: os.stat_result) -> SFTPAttrs:
    """Return attributes whose times, as those of OpenSSH, are cut to 32 bits."""
    attrs = SFTPAttrs.from_local(status)
    attrs.atime = status.st_atime_ns // _NS_PER_SECOND & _UINT32
    attrs.mtime = status.st_mtime_ns // _NS_PER_SECOND & _UINT32
    return attrs


def _measure_tree(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118  many, and only their sizes
            except OSError:
                continue
    return total
