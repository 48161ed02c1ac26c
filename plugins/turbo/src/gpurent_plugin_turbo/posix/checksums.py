"""Digests that small machines can make too: SHA-256, else the check sum of POSIX."""

from __future__ import annotations

import os
import zlib
from hashlib import sha256
from typing import Protocol

STEP = 1 << 20
_MIRROR = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


class Sum(Protocol):
    """Grows with what it is given; ``word`` is what the machine's tool prints for the same bytes."""

    def update(self, data: bytes | memoryview) -> None: ...

    def word(self) -> bytes: ...


class Sha:
    def __init__(self) -> None:
        self._made = sha256()

    def update(self, data: bytes | memoryview) -> None:
        self._made.update(data)

    def word(self) -> bytes:
        return self._made.hexdigest().encode()


class Cksum:
    """The CRC of POSIX runs through the bits the other way round than zlib's, and through the length at the end."""

    def __init__(self) -> None:
        self._crc, self._size = 0xFFFFFFFF, 0

    def update(self, data: bytes | memoryview) -> None:
        self._crc = zlib.crc32(bytes(data).translate(_MIRROR), self._crc)
        self._size += len(data)

    def word(self) -> bytes:
        length = self._size.to_bytes((self._size.bit_length() + 7) // 8, "little")
        crc = zlib.crc32(length.translate(_MIRROR), self._crc) ^ 0xFFFFFFFF
        return b"%d" % (int(f"{crc:032b}"[::-1], 2) ^ 0xFFFFFFFF)


def fresh(sha: bool) -> Sum:
    return Sha() if sha else Cksum()


def of_data(sha: bool, *pieces: bytes | memoryview) -> bytes:
    made = fresh(sha)
    for piece in pieces:
        made.update(piece)
    return made.word()


def read_into(made: Sum, handle: int, size: int, at: int = 0) -> bool:
    """``size`` bytes of a file; false when it is shorter."""
    while size:
        data = os.pread(handle, min(STEP, size), at)
        if not data:
            return False
        made.update(data)
        at, size = at + len(data), size - len(data)
    return True
