"""Small helpers of the far side's disk. Travels as source, like `wire`."""

import os

from gpurent_plugin_turbo.shared.wire import FILE

TYPE_CHECKING = False  # the real one costs the far side an import
if TYPE_CHECKING:
    Row = tuple[int, int, int, int, bytes, bytes]


def failed(number: int, name: bytes) -> "tuple[int, int, int, int, bytes, bytes]":
    """A row of a table that tells of an error."""
    return (FILE, number, 0, 0, name, os.strerror(number).encode())


def lstat(name: bytes) -> "os.stat_result | None":
    try:
        return os.lstat(name)
    except FileNotFoundError:
        return None
