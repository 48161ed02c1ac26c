"""Which programs a machine without Python has, and checksums that it can compute as well."""

from __future__ import annotations

import gzip
import os
import zlib
from hashlib import sha256

from attrs import frozen

from gpurent_plugin_turbo.near.push.unit_builder import MAX_COMPRESSION_RATIO
from gpurent_plugin_turbo.posix.scripts import PROBE_SCRIPT
from gpurent_plugin_turbo.posix.shell import PosixShell, ScriptAnswer

READ_SIZE = 1 << 20
FAST_RATE = 40e6  # bytes per second; above this compressing takes longer than sending
_REVERSED_BITS = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


class Sha256Checksum:
    """Checksum of all data added; ``to_tool_output`` is what the machine's tool prints for the same bytes."""

    def __init__(self) -> None:
        self._sha256 = sha256()

    def update(self, data: bytes | memoryview) -> None:
        self._sha256.update(data)

    def to_tool_output(self) -> bytes:
        return self._sha256.hexdigest().encode()


class PosixChecksum:
    """The POSIX CRC: its bit order is the reverse of zlib's, and it includes the length at the end."""

    def __init__(self) -> None:
        self._crc, self._size = 0xFFFFFFFF, 0

    def update(self, data: bytes | memoryview) -> None:
        self._crc = zlib.crc32(bytes(data).translate(_REVERSED_BITS), self._crc)
        self._size += len(data)

    def to_tool_output(self) -> bytes:
        length = self._size.to_bytes((self._size.bit_length() + 7) // 8, "little")
        crc = zlib.crc32(length.translate(_REVERSED_BITS), self._crc) ^ 0xFFFFFFFF
        return b"%d" % (int(f"{crc:032b}"[::-1], 2) ^ 0xFFFFFFFF)


Checksum = Sha256Checksum | PosixChecksum


def compute_checksum(checksum: Checksum, *pieces: bytes | memoryview) -> bytes:
    for piece in pieces:
        checksum.update(piece)
    return checksum.to_tool_output()


def add_file_data(checksum: Checksum, handle: int, size: int, at: int = 0) -> bool:
    """Add ``size`` bytes of a file; return False if it is shorter."""
    while size:
        data = os.pread(handle, min(READ_SIZE, size), at)
        if not data:
            return False
        checksum.update(data)
        at, size = at + len(data), size - len(data)
    return True


@frozen
class MachineTools:
    """The result of `PROBE_SCRIPT`."""

    tool_names: frozenset[bytes] = frozenset()
    free_bytes: int = -1  # of the disk; unknown if negative

    @classmethod
    def probe(cls, shell: PosixShell) -> MachineTools:
        return cls.parse(shell.run_script(PROBE_SCRIPT))

    @classmethod
    def parse(cls, answer: ScriptAnswer) -> MachineTools:
        free = answer.find_first(b"free").strip()
        return cls(frozenset(answer.find_all(b"has")), int(free) * 1024 if free.isdigit() else -1)

    @property
    def can_list(self) -> bool:
        """Whether its `find` and `stat` can list files."""
        return b"lists" in self.tool_names

    def new_checksum(self) -> Checksum:
        """Return a checksum of the kind that the machine can compute as well."""
        return Sha256Checksum() if b"sha256sum" in self.tool_names else PosixChecksum()

    def should_compress(self, rate: float) -> bool:
        """Return whether compressing is worthwhile on a connection of ``rate`` bytes per second."""
        return b"gzip" in self.tool_names and rate < FAST_RATE

    def compress(self, data: bytes, rate: float) -> bytes | None:
        """Return the compressed data; None if compressing is not worthwhile at this rate."""
        sample = data[: 64 << 10]
        if (
            not self.should_compress(rate)
            or len(gzip.compress(sample, 1)) > len(sample) * MAX_COMPRESSION_RATIO
        ):
            return None
        return gzip.compress(data, 1)
