"""What comes from a machine without Python, as a stream that is no longer than it may be."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator

from gpurent_plugin_turbo.posix.shell import Talk
from gpurent_plugin_turbo.shared.errors import Broken

SLACK = 16 << 20  # files may have grown meanwhile; what is over this is an attack
HEADERS = 4096  # bytes of headers and padding of one file
RECORD = 10240
ODD = (tarfile.TarError, zlib.error, ValueError, OverflowError, LookupError, RecursionError, EOFError)


class TooMuch(Broken):
    """More came than was asked for."""


class Flow:
    """The data of a script's answer, unpacked if it was pressed. ``most``: bytes of it that are believed."""

    def __init__(self, talk: Talk, pressed: bool, most: int) -> None:
        self._talk, self._left = talk, most
        self._unpack = zlib.decompressobj(31) if pressed else None
        self._rest = b""  # pressed data that waits for room
        self._held = b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, which were there; nothing at the end."""
        if not self._held:
            self._held = self._some()
            self._left -= len(self._held)
            if self._left < 0:
                raise TooMuch("more than was asked for")
        data, self._held = self._held[:size], self._held[size:]
        return data

    def after(self) -> bytes:
        """What followed pressed data, or is left of raw data."""
        if self._unpack is None:
            return self._held
        return self._unpack.unused_data + self._rest

    def _some(self) -> bytes:
        if self._unpack is None:
            return self._talk.some()
        while not self._unpack.eof:
            data = self._rest or self._talk.some()
            self._rest = b""
            if not data:
                return b""
            made = self._unpack.decompress(data, 1 << 20)
            self._rest = self._unpack.unconsumed_tail
            if made:
                return made
        return b""


def members(flow: Flow, longest: int) -> Iterator[tuple[bytes, int, bytes | None]]:
    """Name, size and content of each file of an archive; no content where it is longer than ``longest``.

    Nothing is unpacked to a disk. A hard link has the content of the file that it names, if that came before.
    """
    seen: dict[str, bytes] = {}
    with tarfile.open(
        fileobj=flow,  # type: ignore[call-overload]
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
