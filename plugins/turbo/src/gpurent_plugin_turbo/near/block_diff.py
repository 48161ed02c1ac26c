"""Which blocks of a large file differ between the two sides."""

from __future__ import annotations

from gpurent_plugin_turbo.shared.files import block_size

DIGEST = 16  # bytes


def compare_blocks(mine: bytes, theirs: bytes, size: int) -> tuple[list[tuple[int, int]], int]:
    """Offset and length of what differs, in order, and the bytes that are the same; from two `digest_blocks`."""
    step, same = block_size(size), 0
    ranges: list[tuple[int, int]] = []
    for index, at in enumerate(range(0, size, step)):
        length = min(step, size - at)
        block = slice(index * DIGEST, (index + 1) * DIGEST)
        if mine[block] == theirs[block]:
            same += length
        elif ranges and sum(ranges[-1]) == at:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + length)
        else:
            ranges.append((at, length))
    return ranges, same
