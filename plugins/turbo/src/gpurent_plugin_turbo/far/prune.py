"""The far side of taking away: says what there is, and deletes what it is told of that.

Travels as source behind `wire`: Python 3.6, the standard library, no future annotations.
"""

import errno
import os
import stat
import sys
import zlib

from gpurent_plugin_turbo.shared.errors import Ended
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, PARTS, Line, rows, table

TYPE_CHECKING = False  # the real one costs the far side an import
if TYPE_CHECKING:
    from collections.abc import Iterator

    Row = tuple[int, int, int, int, bytes, bytes]

MANY = 2048  # names in a frame


def walk(folder: bytes) -> "Iterator[Row]":
    """What lies below ``folder``, folders before their content; links are named and never followed."""
    waiting = [folder]
    while waiting:
        at = waiting.pop()
        try:
            with os.scandir(at or b".") as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            name = at + b"/" + entry.name if at else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name != PARTS:
                yield (FOLDER if is_folder else FILE, 0, 0, 0, name, b"")
            if is_folder and entry.name != PARTS:
                waiting.append(name)


def is_folder(name: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name or b".").st_mode)
    except OSError:
        return False


def listing(line: Line, tops: "list[bytes]") -> None:
    some = []
    for top in tops:
        for row in walk(top) if is_folder(top) else ():
            some.append(row)
            if len(some) == MANY:
                line.send(ord("L"), b"", zlib.compress(table(some), 1))
                some = []
    line.send(ord("L"), b"", zlib.compress(table(some), 1))
    line.send(ord("Z"))


def remove(row: "Row", root: bytes) -> int:
    """0, or the error number. A name that leads out of the target through a link is refused."""
    name = row[4]
    folder = os.path.dirname(os.path.join(root, name))
    try:
        if os.path.realpath(folder) != os.path.normpath(folder):
            return errno.EXDEV
        if row[0] == FOLDER:
            os.rmdir(name)
        else:
            os.unlink(name)
    except OSError as error:
        # Gone already, or something came into it meanwhile: both are well.
        return 0 if error.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST) else error.errno or errno.EIO
    return 0


def take_away(target: bytes, tops: "list[bytes]") -> None:
    """What the exec command calls."""
    line = Line(0, 1)
    try:
        line.send(ord("O"), sys.version.split()[0].encode())
        try:
            os.chdir(target or b".")
        except OSError:
            tops = []
        listing(line, tops)
        root = os.getcwdb()
        while True:
            _, _, size = line.header()
            lost = []
            for row in rows(zlib.decompress(line.take(size)))[0]:
                number = remove(row, root)
                if number:
                    lost.append((FILE, number, 0, 0, row[4], os.strerror(number).encode()))
            line.send(ord("A"), b"", table(lost))
    except Ended:
        pass
