"""What a download leaves out, as transfer backends record it."""

from __future__ import annotations

from urllib.parse import quote_from_bytes

from gpurent.domain.filenames import NameProblem, escape_name
from gpurent.domain.transfer import SkipKind, SkippedFile
from gpurent.locale import _

_MAX_SKIPPED = 50_000


class SkippedFiles:
    """What a download skips, up to a limit; beyond it, one last entry says that there is more."""

    def __init__(self) -> None:
        self.items: list[SkippedFile] = []

    def add(self, name: bytes, reason: str, kind: SkipKind = SkipKind.OTHER) -> None:
        self._append(SkippedFile(name=_printable_name(name), reason=reason, kind=kind))

    def add_refused_file(self, name: bytes, problem: NameProblem, path: bytes, size: int) -> None:
        """Add a regular file whose name may not be used here. No real file has an impossible name such as ``..``."""
        if {b"", b".", b".."}.intersection(name.split(b"/")) or b"\0" in path:
            self.add(name, problem.text)
            return
        self._append(
            SkippedFile(
                name=_printable_name(name),
                reason=problem.text,
                problem=problem,
                kind=SkipKind.NAME,
                remote_path=quote_from_bytes(path),
                size=size,
            )
        )

    def _append(self, item: SkippedFile) -> None:
        if len(self.items) < _MAX_SKIPPED:
            self.items.append(item)
        elif len(self.items) == _MAX_SKIPPED:
            reason = _("more names than are listed here")
            self.items.append(SkippedFile(name="…", reason=reason, kind=SkipKind.UNREADABLE))


def _printable_name(name: bytes) -> str:
    return escape_name(name.decode("utf-8", "replace"))
