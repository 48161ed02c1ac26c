"""The permissions that files from Windows get on a machine, where Windows itself has none."""

from __future__ import annotations

import os
import struct
from pathlib import Path

FILE_MODE, PROGRAM_MODE, FOLDER_MODE = 0o644, 0o755, 0o755
_HEAD = struct.Struct(">4sII")
_ENTRY_BYTES = 62  # of what stands before a name: times, numbers, the mode, the size, a digest, flags
_MODE_AT, _FLAGS_AT = 24, 60
_LONG_NAME, _EXTENDED = 0xFFF, 0x4000
_MAX_INDEX_BYTES = 256 << 20


def is_script(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` names the program that runs it."""
    return head.startswith(b"#!")


class GitModes:
    """Which files git knows as programs. The index of each working tree is read once."""

    def __init__(self) -> None:
        self._programs: dict[Path, frozenset[str]] = {}

    def is_program(self, path: str) -> bool:
        """Return whether the file is a program for the working tree that it is in."""
        for top in Path(path).parents:
            index = top / ".git" / "index"
            if top not in self._programs and index.is_file():
                self._programs[top] = _read_programs(index)
            if top in self._programs:
                return os.path.relpath(path, top).replace(os.sep, "/") in self._programs[top]
        return False


def _read_programs(index: Path) -> frozenset[str]:
    try:
        if index.stat().st_size > _MAX_INDEX_BYTES:
            return frozenset()
        return frozenset(list_programs(index.read_bytes()))
    except (OSError, struct.error, IndexError, ValueError):
        return frozenset()


def list_programs(data: bytes) -> list[str]:
    """Return the paths that a git index (version 2, 3 or 4) has as executable. Raises `ValueError` for what is none."""
    mark, version, count = _HEAD.unpack_from(data)
    if mark != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("not a git index")
    found, at, name = [], _HEAD.size, b""
    for _number in range(count):
        (mode,) = struct.unpack_from(">I", data, at + _MODE_AT)
        (flags,) = struct.unpack_from(">H", data, at + _FLAGS_AT)
        start = at + _ENTRY_BYTES + (2 if flags & _EXTENDED else 0)
        cut = 0
        if version == 4:
            cut, start = _read_number(data, start)
        end = data.index(b"\0", start)
        name = name[: len(name) - cut] + data[start:end] if version == 4 else data[start:end]
        at = end + 1 if version == 4 else at + (end - at + 8) // 8 * 8
        if mode & 0o111 and mode & 0o170000 == 0o100000:
            found.append(name.decode("utf-8", "surrogateescape"))
    return found


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    """Read git's number of variable length; also return where it ends."""
    byte = data[at]
    value, at = byte & 0x7F, at + 1
    while byte & 0x80:
        byte = data[at]
        value, at = (value + 1) << 7 | byte & 0x7F, at + 1
    return value, at
