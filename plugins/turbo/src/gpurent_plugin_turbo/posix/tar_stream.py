"""An archive from a machine without Python, as a stream that is no longer than it may be."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator

from gpurent_plugin_turbo.posix.shell import ScriptOutput
from gpurent_plugin_turbo.shared.wire import ProtocolViolation

MAX_GROWTH = 16 << 20  # bytes by which files may have grown meanwhile; more is an attack
HEADER_BYTES = 4096  # bytes of headers and padding of one file
RECORD = 10240


class TooMuchData(ProtocolViolation):
    """More came than was asked for."""


class LimitedStream:
    """The data of a script's answer, decompressed where necessary. ``most``: bytes of it that are accepted."""

    def __init__(self, output: ScriptOutput, compressed: bool, most: int) -> None:
        self._output, self._left = output, most
        self._decompressor = zlib.decompressobj(31) if compressed else None
        self._rest = b""  # compressed data that was not read yet
        self._unread = b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, which were there; nothing at the end."""
        if not self._unread:
            self._unread = self._read_some()
            self._left -= len(self._unread)
            if self._left < 0:
                raise TooMuchData("more than was asked for")
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def read_after(self) -> bytes:
        """What followed compressed data, or is left of raw data."""
        if self._decompressor is None:
            return self._unread
        return self._decompressor.unused_data + self._rest

    def _read_some(self) -> bytes:
        if self._decompressor is None:
            return self._output.read_some()
        while not self._decompressor.eof:
            data = self._rest or self._output.read_some()
            self._rest = b""
            if not data:
                return b""
            made = self._decompressor.decompress(data, 1 << 20)
            self._rest = self._decompressor.unconsumed_tail
            if made:
                return made
        return b""


def read_members(stream: LimitedStream, longest: int) -> Iterator[tuple[bytes, int, bytes | None]]:
    """Name, size and content of each file of an archive; no content where it is longer than ``longest``.

    Nothing is unpacked to a disk. A hard link has the content of the file that it names, if that came before.
    """
    seen: dict[str, bytes] = {}
    with tarfile.open(
        fileobj=stream,  # type: ignore[call-overload]
        mode="r|",
        encoding="utf-8",
        errors="surrogateescape",
        bufsize=RECORD,
    ) as archive:
        for member in archive:
            archive.members = []  # else it keeps them all
            data: bytes | None = None
            if member.islnk():
                data = seen.get(member.linkname)
            elif member.isreg() and 0 <= member.size <= longest:
                file = archive.extractfile(member)
                data = file.read(member.size) if file is not None else None
                if data is not None and len(data) == member.size:
                    seen[member.name] = data
            size = len(data) if data is not None else member.size
            yield member.name.encode("utf-8", "surrogateescape"), size, data
