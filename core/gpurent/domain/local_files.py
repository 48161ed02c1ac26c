"""What transfers know of local files, so that no download replaces a file that was changed here in the meantime."""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Protocol

STATE_BYTES = 16


class FileStates(Protocol):
    """Takes note of states of local files: regular ones by size and mtime (ns). Threads share it."""

    def add_file(self, path: bytes, size: int, time: int) -> None: ...
    def add_link(self, path: bytes, target: bytes) -> None: ...


class KnownFiles(FileStates, Protocol):
    """The local files whose state a transfer left here or sent away: a download may replace these and no others."""

    def has_file(self, path: bytes, size: int, time: int) -> bool: ...
    def has_link(self, path: bytes, target: bytes) -> bool: ...

    def add_kept(self, name: str, place: str) -> None:
        """Note for the report that the local file ``name`` was kept, and where the machine's version is.

        Both are printable; no ``place``: the machine still has the version that was transferred before.
        """


def compute_file_state(path: bytes, size: int, time: int) -> bytes:
    """Return a digest of a regular file's path, size and mtime (ns), of `STATE_BYTES`."""
    return _compute_digest(path, b"file %d %d" % (size, time))


def compute_link_state(path: bytes, target: bytes) -> bytes:
    return _compute_digest(path, b"link " + target)


def _compute_digest(path: bytes, state: bytes) -> bytes:
    if os.sep == "\\":  # where a path may be written in two ways
        path = path.replace(b"\\", b"/")
    return blake2b(path + b"\0" + state, digest_size=STATE_BYTES).digest()
