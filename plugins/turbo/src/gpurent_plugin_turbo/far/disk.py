"""Small helpers of the far side."""

import os
import sys

from gpurent_plugin_turbo.shared.wire import FILE

TYPE_CHECKING = False  # the real one costs the far side an import
if TYPE_CHECKING:
    from gpurent_plugin_turbo.shared.wire import FrameStream, TableRow


def send_hello(frames: "FrameStream") -> None:
    """The first frame tells that the source runs."""
    frames.send_frame(ord("O"), sys.version.split()[0].encode())


def error_row(number: int, name: bytes) -> "TableRow":
    """A row of a table that reports an error."""
    return (FILE, number, 0, 0, name, os.strerror(number).encode())


def lstat_or_none(name: bytes) -> "os.stat_result | None":
    try:
        return os.lstat(name)
    except FileNotFoundError:
        return None
