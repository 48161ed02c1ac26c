"""The kept logs of trips: a private file for each, and the oldest are deleted when all are too much."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from attrs import define, field

from gpurent.errors import GpurentError
from gpurent.infra.platform.system import create_private_file, make_private_folder
from gpurent.ports.kept_logs import MAX_KEPT_BYTES

MAX_TOTAL_BYTES = 1 << 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@define
class KeptLogFiles:
    """Implements `gpurent.ports.kept_logs.KeptLogs` in ``folder``."""

    folder: Path
    max_total: int = MAX_TOTAL_BYTES
    _begun: set[str] = field(factory=set, init=False)

    def write(self, trip_id: str, offset: int, data: bytes) -> None:
        data = data[: max(0, MAX_KEPT_BYTES - offset)]
        if not data or not _NAME.fullmatch(trip_id):
            return
        with suppress(OSError, GpurentError):  # a full disk must not end the trip
            if trip_id not in self._begun:
                make_private_folder(self.folder)
                self._delete_oldest()
                self._begun.add(trip_id)
            path = self._get_path(trip_id)
            create_private_file(path)
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(data)

    def get_size(self, trip_id: str) -> int:
        path = self.find_path(trip_id)
        return path.stat().st_size if path is not None else 0

    def find_path(self, trip_id: str) -> Path | None:
        path = self._get_path(trip_id)
        return path if _NAME.fullmatch(trip_id) and path.is_file() else None

    def read(self, trip_id: str, lines: int | None = None) -> bytes:
        path = self.find_path(trip_id)
        data = path.read_bytes() if path is not None else b""
        return data if lines is None else take_last_lines(data, lines)

    def _get_path(self, trip_id: str) -> Path:
        return self.folder / f"{trip_id}.log"

    def _delete_oldest(self) -> None:
        found = sorted(
            ((path.stat(), path) for path in self.folder.glob("*.log")), key=lambda pair: pair[0].st_mtime
        )
        total = sum(status.st_size for status, _path in found)
        for status, path in found:
            if total <= self.max_total:
                return
            path.unlink()
            total -= status.st_size


def take_last_lines(data: bytes, lines: int) -> bytes:
    """Return the last ``lines`` of ``data``; what follows the last newline counts as one."""
    kept = data.splitlines(keepends=True)
    return b"".join(kept[max(0, len(kept) - lines) :])
