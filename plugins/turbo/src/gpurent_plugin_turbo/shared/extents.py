"""Where a sparse file has data. Travels to the machine as source."""

import errno
import os


def list_extents(handle: int, size: int, most: int) -> "list[tuple[int, int]]":
    """Offset and length of what is no hole; the last takes all of the rest where there are more than ``most``."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < size and len(found) < most:
        try:
            at = os.lseek(handle, at, os.SEEK_DATA)
            end = min(os.lseek(handle, at, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data any more
                return found
            end = size
        found.append((at, end - at))
        at = end
    if at < size:
        found.append((at, size - at))
    return found
