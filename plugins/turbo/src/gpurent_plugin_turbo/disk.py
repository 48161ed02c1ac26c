"""Small helpers of the far side's disk. Travels as source, like `wire`."""

import os
import stat

from gpurent_plugin_turbo.wire import FILE

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


def same(there: os.stat_result, size: int, time: int) -> bool:
    """Size and time agree; a time in whole seconds was set by a tool that knows no finer ones."""
    if there.st_size != size or not stat.S_ISREG(there.st_mode):
        return False
    stamp = there.st_mtime_ns
    return stamp == time or (stamp % 1000000000 == 0 and stamp // 1000000000 == time // 1000000000)


def file_digest(handle: int) -> bytes:
    """Of a whole file, read back from where it lies."""
    from hashlib import sha256

    made, at = sha256(), 0
    while True:
        data = os.pread(handle, 1 << 20, at)
        if not data:
            return made.digest()[:16]
        made.update(data)
        at += len(data)


def write_at(handle: int, view: memoryview, at: int) -> None:
    done = os.pwrite(handle, view, at)
    while done < len(view):
        done += os.pwrite(handle, view[done:], at + done)
