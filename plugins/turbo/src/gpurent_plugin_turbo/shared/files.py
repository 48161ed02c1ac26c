"""Reading, writing and comparing files, large ones by blocks: what of them is there already.

Travels as source, like `wire`.
"""

import os
import stat

from gpurent_plugin_turbo.shared.codec import BLAKE, compute_digest


def block_size(size: int) -> int:
    """Bytes of one block of a file: a thousandth, from 256 KiB to 16 MiB, so that a list of digests stays small."""
    step = 1 << 18
    while step < (1 << 24) and step * 4096 < size:
        step *= 2
    return step


def block_digests(handle: int, size: int, kind: int) -> bytes:
    """The digests of the blocks of the first ``size`` bytes, one behind the other; missing bytes count as zeros."""
    step, found = block_size(size), []
    buffer = memoryview(bytearray(min(step, max(size, 1))))
    for at in range(0, size, step):
        want = min(step, size - at)
        got = (
            os.preadv(handle, [buffer[:want]], at)
            if hasattr(os, "preadv")
            else _pread(handle, buffer[:want], at)
        )
        while 0 < got < want:
            more = _pread(handle, buffer[got:want], at + got)
            if not more:
                break
            got += more
        if got < want:
            buffer[got:want] = bytes(want - got)
        found.append(compute_digest(kind, buffer[:want]))
    return b"".join(found)


def _pread(handle: int, view: memoryview, at: int) -> int:
    data = os.pread(handle, len(view), at)
    view[: len(data)] = data
    return len(data)


def part_of(name: bytes, size: int, time: int) -> bytes:
    """The name of a file's partial: the same name and content, the same partial; safe for any file system."""
    return (
        compute_digest(BLAKE, name)[:10].hex()
        + "-"
        + compute_digest(BLAKE, b"%d %d" % (size, time))[:6].hex()
    ).encode()


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
