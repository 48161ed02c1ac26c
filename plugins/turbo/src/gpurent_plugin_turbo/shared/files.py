"""Reads, writes and compares files, large ones by blocks. Sent to the machine as source."""

import os
import stat

from gpurent_plugin_turbo.shared.codec import BLAKE, compute_digest
from gpurent_plugin_turbo.shared.wire import get_time


def block_size(size: int) -> int:
    """Return a file's block size in bytes: a thousandth, 256 KiB to 16 MiB; lists of digests stay small."""
    step = 1 << 18
    while step < (1 << 24) and step * 4096 < size:
        step *= 2
    return step


def make_folders(path: bytes) -> None:
    """Make a folder and those above it, each for the user alone; one that is there stays as it is."""
    if path and not os.path.isdir(path):
        make_folders(os.path.dirname(path))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise


def digest_blocks(handle: int, size: int, kind: int) -> bytes:
    """Return the concatenated digests of the blocks of the first ``size`` bytes; missing bytes count as zeros."""
    step, found = block_size(size), []
    buffer = memoryview(bytearray(min(step, max(size, 1))))
    for at in range(0, size, step):
        want, got = min(step, size - at), 0
        while got < want:
            more = pread_into(handle, buffer[got:want], at + got)
            if not more:
                buffer[got:want] = bytes(want - got)
                break
            got += more
        found.append(compute_digest(kind, buffer[:want]))
    return b"".join(found)


def pread_into(handle: int, view: memoryview, at: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(handle, [view], at)
    data = os.pread(handle, len(view), at)
    view[: len(data)] = data
    return len(data)


def make_partial_name(name: bytes, size: int, time: int) -> bytes:
    """Return the name of a file's partial: determined by name, size and mtime, safe for any file system."""
    return (
        compute_digest(BLAKE, name)[:10].hex()
        + "-"
        + compute_digest(BLAKE, b"%d %d" % (size, time))[:6].hex()
    ).encode()


def has_same_state(there: os.stat_result, size: int, time: int) -> bool:
    return stat.S_ISREG(there.st_mode) and there.st_size == size and is_same_time(get_time(there), time)


def is_same_time(stamp: int, time: int) -> bool:
    """Compare times in ns; a stamp in whole seconds was set by a tool that knows no finer ones."""
    return stamp == time or (stamp % 1000000000 == 0 and stamp // 1000000000 == time // 1000000000)


def digest_file(handle: int) -> bytes:
    """Return the digest of a whole file, read back from disk."""
    from hashlib import sha256

    made, at = sha256(), 0
    while True:
        data = os.pread(handle, 1 << 20, at)
        if not data:
            return made.digest()[:16]
        made.update(data)
        at += len(data)


def digest_path(path: bytes) -> bytes:
    """Return the digest of a file; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return digest_file(file.fileno())
    except OSError:
        return b""


def write_at(handle: int, view: memoryview, at: int) -> None:
    done = os.pwrite(handle, view, at)
    while done < len(view):
        done += os.pwrite(handle, view[done:], at + done)
