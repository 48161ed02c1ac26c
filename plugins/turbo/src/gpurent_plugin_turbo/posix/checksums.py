"""Checksums that small machines can compute too: SHA-256, else that of POSIX."""

from __future__ import annotations

import os
import zlib
from hashlib import sha256
from typing import Protocol

READ_SIZE = 1 << 20
_REVERSED_BITS = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


class Checksum(Protocol):
    """Of all data that it is given; ``printed`` is what the machine's tool prints for the same bytes."""

    def update(self, data: bytes | memoryview) -> None: ...

    def printed(self) -> bytes: ...


class Sha256Checksum:
    def __init__(self) -> None:
        self._sha256 = sha256()

    def update(self, data: bytes | memoryview) -> None:
        self._sha256.update(data)

    def printed(self) -> bytes:
        return self._sha256.hexdigest().encode()


class PosixChecksum:
    """The CRC of POSIX runs through the bits the other way round than zlib's, and through the length at the end."""

    def __init__(self) -> None:
        self._crc, self._size = 0xFFFFFFFF, 0

    def update(self, data: bytes | memoryview) -> None:
        self._crc = zlib.crc32(bytes(data).translate(_REVERSED_BITS), self._crc)
        self._size += len(data)

    def printed(self) -> bytes:
        length = self._size.to_bytes((self._size.bit_length() + 7) // 8, "little")
        crc = zlib.crc32(length.translate(_REVERSED_BITS), self._crc) ^ 0xFFFFFFFF
        return b"%d" % (int(f"{crc:032b}"[::-1], 2) ^ 0xFFFFFFFF)


def checksum_data(checksum: Checksum, *pieces: bytes | memoryview) -> bytes:
    for piece in pieces:
        checksum.update(piece)
    return checksum.printed()


def add_file_data(checksum: Checksum, handle: int, size: int, at: int = 0) -> bool:
    """``size`` bytes of a file; false when it is shorter."""
    while size:
        data = os.pread(handle, min(READ_SIZE, size), at)
        if not data:
            return False
        checksum.update(data)
        at, size = at + len(data), size - len(data)
    return True
