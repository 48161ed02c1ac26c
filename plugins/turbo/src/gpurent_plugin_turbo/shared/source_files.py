"""Reads what is to be sent: small files whole, large ones by ranges. Sent to the machine as source."""

import errno
import os
import stat

from gpurent_plugin_turbo.shared.files import block_size

READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # do not block if it has become a pipe
DIGEST_SIZE = 16


def read_whole_file(handle: int, most: int) -> "tuple[bytes | None, os.stat_result]":
    """Return a file's content and state; no content if it is no file, exceeds ``most`` bytes or changes meanwhile."""
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode) or before.st_size > most:
        return None, before
    data = os.read(handle, before.st_size + 1)
    while len(data) < before.st_size:
        more = os.read(handle, before.st_size + 1 - len(data))
        if not more:
            break
        data += more
    after = os.fstat(handle)
    same = len(data) == before.st_size == after.st_size and before.st_mtime_ns == after.st_mtime_ns
    return (data if same else None), after


def list_extents(handle: int, size: int, most: int) -> "list[tuple[int, int]]":
    """Return offset and length of data without holes; if there are more than ``most``, the last covers the rest."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < size and len(found) < most:
        try:
            at = os.lseek(handle, at, os.SEEK_DATA)
            end = min(os.lseek(handle, at, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no more data
                return found
            end = size
        found.append((at, end - at))
        at = end
    if at < size:
        found.append((at, size - at))
    return found


def compare_blocks(mine: bytes, theirs: bytes, size: int) -> "tuple[list[tuple[int, int]], int]":
    """Return the ranges that differ (offset, length; in order) and the number of equal bytes.

    Both arguments are results of `digest_blocks`.
    """
    step, same = block_size(size), 0
    ranges: list[tuple[int, int]] = []
    for index, at in enumerate(range(0, size, step)):
        length = min(step, size - at)
        block = slice(index * DIGEST_SIZE, (index + 1) * DIGEST_SIZE)
        if mine[block] == theirs[block]:
            same += length
        elif ranges and sum(ranges[-1]) == at:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + length)
        else:
            ranges.append((at, length))
    return ranges, same
