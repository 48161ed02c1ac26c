"""The remote side of deleting extraneous files: lists what exists and deletes what is requested."""

import errno
import os
import zlib
from collections.abc import Iterator

from gpurent_plugin_turbo.shared.annotations import TableRow
from gpurent_plugin_turbo.shared.wire import (
    FILE,
    FOLDER,
    PARTIALS_DIR,
    ConnectionEnded,
    FrameKind,
    FrameStream,
    decode_table,
    encode_table,
    make_error_row,
)

MAX_ROWS = 2048  # per frame


def walk_tree(folder: bytes) -> "Iterator[TableRow]":
    """Yield what is below ``folder``, if it is one: folders before their contents; links are listed, never followed."""
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current or b".") as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            name = current + b"/" + entry.name if current else entry.name
            if entry.name == PARTIALS_DIR:
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            yield (FOLDER if is_folder else FILE, 0, 0, 0, name, b"")
            if is_folder:
                waiting.append(name)


def send_listing(frames: FrameStream, folders: "list[bytes]") -> None:
    rows = []
    for folder in folders:
        for row in walk_tree(folder) if not os.path.islink(folder) else ():
            rows.append(row)
            if len(rows) == MAX_ROWS:
                frames.send_frame(FrameKind.LISTING, b"", zlib.compress(encode_table(rows), 1))
                rows = []
    frames.send_frame(FrameKind.LISTING, b"", zlib.compress(encode_table(rows), 1))
    frames.send_frame(FrameKind.FINISHED)


def remove_entry(row: "TableRow", root: bytes) -> int:
    """Delete an entry; return 0 or the error number. A path that leaves the target through a link is refused."""
    kind, _, _, _, name, _ = row
    folder = os.path.dirname(os.path.join(root, name))
    try:
        if os.path.realpath(folder) != os.path.normpath(folder):
            return errno.EXDEV
        if kind == FOLDER:
            os.rmdir(name)
        else:
            os.unlink(name)
    except OSError as error:
        # Already gone, or no longer empty because something was added meanwhile: neither is an error.
        return 0 if error.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST) else error.errno or errno.EIO
    return 0


def serve_prune(target: bytes, folders: "list[bytes]") -> None:
    frames = FrameStream(0, 1)
    try:
        frames.send_hello()
        try:
            os.chdir(target or b".")
        except OSError:
            folders = []
        send_listing(frames, folders)
        root = os.getcwdb()
        while True:
            _, _, size = frames.read_header()
            failures = []
            for row in decode_table(zlib.decompress(frames.read(size)))[0]:
                number = remove_entry(row, root)
                if number:
                    failures.append(make_error_row(number, row[4]))
            frames.send_frame(FrameKind.ACK, b"", encode_table(failures))
    except ConnectionEnded:
        pass
