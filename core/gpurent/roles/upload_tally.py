"""Adds up what an upload would transfer, for the backends' previews."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappush, heappushpop

from attrs import define, field

from gpurent.domain.transfer import SkippedFile, UploadPreview
from gpurent.domain.upload_rules import is_settings_secret

MAX_LARGEST = 3
MAX_NAMES = 1000


@define
class UploadTally:
    """Counts files and bytes as a scan finds them. Names are printable; those of folders end with a slash."""

    files: int = 0
    total: int = 0
    ignored_count: int = 0
    _largest: list[tuple[int, str]] = field(factory=list)
    _ignored: list[str] = field(factory=list)
    _secrets: list[str] = field(factory=list)

    def add_file(self, name: str, size: int) -> None:
        self.files += 1
        self.total += size
        push = heappushpop if len(self._largest) == MAX_LARGEST else heappush
        push(self._largest, (size, name))
        if is_settings_secret(name.rpartition("/")[2]) and len(self._secrets) < MAX_NAMES:
            self._secrets.append(name)

    def add_ignored(self, name: str) -> None:
        """Count an entry that the ignore files exclude; of a folder, only the folder itself."""
        self.ignored_count += 1
        if len(self._ignored) < MAX_NAMES:
            self._ignored.append(name)

    def make_preview(self, skipped: Sequence[SkippedFile]) -> UploadPreview:
        return UploadPreview(
            files=self.files,
            total=self.total,
            largest=tuple((name, size) for size, name in sorted(self._largest, reverse=True)),
            secrets=tuple(self._secrets),
            ignored=tuple(self._ignored),
            ignored_count=self.ignored_count,
            skipped=tuple(skipped),
        )
