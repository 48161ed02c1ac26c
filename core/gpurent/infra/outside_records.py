"""Small records of what the vault, the ledger and the plugins were last, kept outside of them.

Whoever puts an old or foreign file in place of one of them does not have these files, which lie elsewhere: one beside
it in the data folder, one outside of the data folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from gpurent.errors import GpurentError
from gpurent.infra.outer_folder import find_outer_path
from gpurent.infra.platform.file_locks import hold_file_lock
from gpurent.infra.platform.system import make_private_folder, read_private_file, write_private_file

FILE_NAME = "outside-records.json"


@frozen(eq=False)
class OutsideRecordFiles:
    """Implements `gpurent.ports.outside_records.OutsideRecords`. ``is_recorded`` false: nothing is written."""

    paths: Sequence[Path]
    lock_path: Path
    is_recorded: bool = True

    def list_values(self, name: str) -> Sequence[Any]:
        return [content[name] for path in self.paths if name in (content := read_record_file(path))]

    def update(self, name: str, change: Callable[[Sequence[Any]], Any]) -> None:
        if not self.is_recorded:
            return
        with self._hold_lock():
            value = change(self.list_values(name))
            for path in self.paths:
                content = read_record_file(path)
                if content.get(name) != value:
                    # A file that cannot be written still has what it had, which is a weaker check but a true one.
                    with suppress(OSError, GpurentError):
                        _write_file(path, {**content, name: value})

    @contextmanager
    def _hold_lock(self) -> Iterator[None]:
        """Wait for the lock of the files; where there can be none, go on without."""
        with ExitStack() as held:
            with suppress(OSError, GpurentError):
                folder = make_private_folder(self.lock_path.parent)
                held.enter_context(hold_file_lock(folder / self.lock_path.name))
            yield


def read_record_file(path: Path) -> dict[str, Any]:
    """Return the content of a file; nothing if it is missing, not private, or damaged."""
    try:
        found = json.loads(read_private_file(path))
    except (OSError, GpurentError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def dump_records(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _write_file(path: Path, content: Mapping[str, Any]) -> None:
    write_private_file(make_private_folder(path.parent) / path.name, dump_records(content))


def make_outside_records(
    home: Path, environment: Mapping[str, str], *, is_recorded: bool = True
) -> OutsideRecordFiles:
    """Return the records of the data folder ``home``: in it, and outside of it if there is such a folder."""
    outer = find_outer_path(home, FILE_NAME, environment)
    paths = [home / FILE_NAME, *([outer] if outer is not None else [])]
    return OutsideRecordFiles(paths, home / "locks" / "outside-records.lock", is_recorded)
