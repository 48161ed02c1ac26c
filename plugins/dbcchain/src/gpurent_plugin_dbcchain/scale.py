"""SCALE, as much of it as the calls and storage items here need: little-endian integers, compact ones, bytes."""

from __future__ import annotations

_WIDE = 1 << 30


def uint(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def compact(value: int) -> bytes:
    """A compact integer: one, two, four, or more bytes, by its size."""
    if value < 0:
        raise ValueError(f"{value} is below zero")
    if value < 1 << 6:
        return uint(value << 2, 1)
    if value < 1 << 14:
        return uint(value << 2 | 1, 2)
    if value < _WIDE:
        return uint(value << 2 | 2, 4)
    size = (value.bit_length() + 7) // 8
    return uint(size - 4 << 2 | 3, 1) + uint(value, size)


def text(data: bytes) -> bytes:
    """``Vec<u8>``: its length before it."""
    return compact(len(data)) + data


class Reader:
    """Reads values one after the other; too short, or a compact integer longer than it need be: `ValueError`."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def rest(self) -> bytes:
        return self._data[self._at :]

    def take(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            raise ValueError("the bytes end too early")
        self._at += size
        return found

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def compact(self) -> int:
        begin = self._at
        mode = self._data[self._at] & 3 if self.rest else 0
        value = self.uint(1 << mode) >> 2 if mode < 3 else self.uint((self.uint(1) >> 2) + 4)
        if compact(value) != self._data[begin : self._at]:
            raise ValueError("a compact integer that is not the shortest")
        return value

    def text(self) -> bytes:
        return self.take(self.compact())

    def end(self) -> None:
        if self.rest:
            raise ValueError(f"{len(self.rest)} bytes too many")
