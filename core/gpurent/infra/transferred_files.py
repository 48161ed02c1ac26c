"""Notes of transferred local files: digests in private files, one for each machine and one for all that came.

Each file begins with a number. The states that came are numbered one after the other: the common file has the number of
its first one, a machine's file that of the first one which is not older than itself. Everything has the size of one
digest, so that a note which was cut short can be told.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from attrs import field, frozen

from gpurent.domain.local_files import STATE_BYTES
from gpurent.errors import GpurentError
from gpurent.infra.platform.system import make_private_folder, open_appending, replace_path

COMMON_NAME = "all"
KEEP_SECONDS = 366 * 86400  # for which the notes of a machine are kept after its last transfer
MAX_COMMON = (
    1 << 20
)  # states that the common file has after its oldest ones were dropped; before, twice as many
_HEADER = struct.Struct(">8sQ")
_MAGIC = b"gpurent1"


@frozen
class TransferredFileNotes:
    """Implements `gpurent.ports.transferred_files.TransferredFiles` in a folder."""

    folder: Path
    max_common: int = MAX_COMMON

    def open_records(self, names: Sequence[str], also: Sequence[str] = ()) -> StateNotes:
        common = self.folder / COMMON_NAME
        paths, others = self._get_paths(names), self._get_paths(also)
        with suppress(OSError, GpurentError):
            make_private_folder(self.folder)
            self._prepare_files(common, (*paths, *others))
        first, came = _read_notes(common)
        own: set[bytes] = set()
        number = first + len(came)
        for path in paths:
            begun_at, states = _read_notes(path)
            own.update(states)
            number = min(number, begun_at)
        older = set(came[: max(0, number - first)])
        handles = [_open_for_appending(path) for path in (*paths, *others)]
        return StateNotes(own, older, handles, _open_for_appending(common))

    def _get_paths(self, names: Sequence[str]) -> list[Path]:
        return [self.folder / sha256(name.encode()).hexdigest()[:24] for name in names]

    def _prepare_files(self, common: Path, paths: Sequence[Path]) -> None:
        """Make the files that are missing; drop those that nobody used for long."""
        if not _has_header(common):
            # Microseconds: no earlier common file has had so many states.
            _write_notes(common, time.time_ns() // 1000)
        first, came = _read_notes(common)
        if len(came) > 2 * self.max_common:
            _write_notes(common, first + len(came) - self.max_common, came[-self.max_common :])
        for path in paths:
            if not path.exists():
                self._drop_unused_files()
                _write_notes(path, first + len(came))
            elif not _has_header(path):
                _write_notes(path, 0)  # a damaged file does not say what is older

    def _drop_unused_files(self) -> None:
        for path in self.folder.iterdir():
            if path.name != COMMON_NAME and path.stat().st_mtime < time.time() - KEEP_SECONDS:
                path.unlink(missing_ok=True)


@frozen(eq=False)
class StateNotes:
    """Implements `gpurent.ports.transferred_files.StateRecords`. A handle is None where the file cannot be written.

    ``own``: the machine's own states; ``older``: those that came from any before.
    """

    _own: set[bytes]
    _older: set[bytes]
    _machine_files: Sequence[int | None]
    _common_file: int | None = field()

    def __contains__(self, state: bytes) -> bool:
        return state in self._own or state in self._older

    def add(self, states: Iterable[bytes], *, came: bool) -> None:
        new = [state for state in states if state not in self._own]
        self._own.update(new)
        for handle in self._machine_files:
            _append_states(handle, new)
        if came:
            _append_states(self._common_file, [state for state in new if state not in self._older])

    def close(self) -> None:
        for handle in (*self._machine_files, self._common_file):
            if handle is not None:
                os.close(handle)


def _has_header(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_HEADER.size).startswith(_MAGIC)
    except FileNotFoundError:
        return False


def _read_notes(path: Path) -> tuple[int, list[bytes]]:
    """Return the number and the states in the order in which they were added; none if the file cannot be read."""
    try:
        data = path.read_bytes()
    except OSError:
        return 0, []
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        return 0, []
    number = _HEADER.unpack_from(data)[1]
    ends = range(_HEADER.size + STATE_BYTES, len(data) + 1, STATE_BYTES)
    return number, [data[end - STATE_BYTES : end] for end in ends]


def _write_notes(path: Path, number: int, states: Sequence[bytes] = ()) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_bytes(_HEADER.pack(_MAGIC, number) + b"".join(states))
    replace_path(new, path)


def _append_states(handle: int | None, states: Sequence[bytes]) -> None:
    if handle is not None and states:
        with suppress(OSError):
            os.write(handle, b"".join(states))


def _open_for_appending(path: Path) -> int | None:
    """Open the file, without what was left of a note that was cut short."""
    try:
        handle = open_appending(path)
    except OSError:
        return None
    with suppress(OSError):
        size = os.fstat(handle).st_size
        if size % STATE_BYTES:
            os.ftruncate(handle, size - size % STATE_BYTES)
    return handle
