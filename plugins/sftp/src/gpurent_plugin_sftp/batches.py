"""Batches: files that are transferred together and whose digests one command computes, within what both can hold."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

MAX_IN_FLIGHT = 16
"""Files of a batch that are open at a time, here and on the machine."""
MAX_BATCH_FILES, MAX_BATCH_BYTES = 100, 64 << 20
# What the command has: a byte may take five in the line that the login shell gets, whose limit is 128 KiB.
MAX_PATH_BYTES = 16 << 10


class SizedFile(Protocol):
    @property
    def size(self) -> int: ...


F = TypeVar("F", bound=SizedFile)


def make_batches(files: Iterable[F], get_path: Callable[[F], str]) -> list[list[F]]:
    """Divide files, in their order, into batches; what is larger than a batch has one of its own.

    ``get_path`` returns a file's path on the machine. No path is twice in a batch: it would have one partial twice.
    """
    batches: list[list[F]] = []
    size = length = 0
    paths: set[str] = set()
    for file in files:
        path = get_path(file)
        added = len(quote_path(path).encode("utf-8", "surrogateescape")) + 1
        if (
            not batches
            or len(batches[-1]) >= MAX_BATCH_FILES
            or size + file.size > MAX_BATCH_BYTES
            or length + added > MAX_PATH_BYTES
            or path in paths
        ):
            batches.append([])
            size = length = 0
            paths = set()
        batches[-1].append(file)
        size, length = size + file.size, length + added
        paths.add(path)
    return batches


def name_argument(path: str) -> str:
    """Return the path as a program's argument that is never an option."""
    return path if path.startswith("/") else f"./{path}"


def quote_path(path: str) -> str:
    """Return the path as a word of the POSIX shell that is never an option."""
    return shlex.quote(name_argument(path))
