"""What would be uploaded: files, bytes, and what is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from attrs import frozen

from gpurent.domain.filenames import escape_path
from gpurent.domain.transfer import PushRequest, UploadPreview
from gpurent.locale import _, join_list, ngettext
from gpurent.locale.sizes import format_size
from gpurent.roles.machine import SupportsUploadPreview
from gpurent.workflow.connection.transfers import FileTransfers

_MAX_NAMES = 5


@frozen
class UploadPreviewer:
    """Scans what would be uploaded with the backend that would be tried first."""

    transfers: FileTransfers

    async def preview_pushes(self, pushes: Sequence[PushRequest], name: str = "") -> UploadPreview | None:
        """Return what ``pushes`` would upload with the backend ``name``; None if the backend cannot tell."""
        backend = next(self.transfers.iter_backends(name))
        if not isinstance(backend, SupportsUploadPreview):
            return None
        found = [await asyncio.to_thread(backend.preview_push, push) for push in pushes]
        return _sum_previews(found)


def _sum_previews(found: Sequence[UploadPreview]) -> UploadPreview:
    largest = sorted((item for one in found for item in one.largest), key=lambda item: -item[1])
    return UploadPreview(
        files=sum(one.files for one in found),
        total=sum(one.total for one in found),
        largest=tuple(largest[:3]),
        secrets=tuple(name for one in found for name in one.secrets),
        ignored=tuple(name for one in found for name in one.ignored),
        ignored_count=sum(one.ignored_count for one in found),
        skipped=tuple(item for one in found for item in one.skipped),
    )


def format_upload(found: UploadPreview, folder: str) -> list[str]:
    """Format the preview of an upload of ``folder`` in lines."""
    lines = [
        ngettext(
            "Upload: {count} file, {size}, from {folder}",
            "Upload: {count} files, {size}, from {folder}",
            found.files,
        ).format(count=found.files, size=format_size(found.total), folder=escape_path(folder))
    ]
    if found.files > 1:
        largest = join_list(
            _("{name} ({size})").format(name=escape_path(name), size=format_size(size))
            for name, size in found.largest
        )
        lines.append(_("The largest: {names}").format(names=largest))
    if found.secrets:
        lines.append(_("Uploaded too, and may hold secrets: {names}").format(names=_shorten(found.secrets)))
    if found.ignored_count:
        lines.append(
            ngettext(
                "Excluded by ignore files: {count} entry: {names}",
                "Excluded by ignore files: {count} entries: {names}",
                found.ignored_count,
            ).format(count=found.ignored_count, names=_shorten(found.ignored, found.ignored_count))
        )
    for reason in dict.fromkeys(item.reason for item in found.skipped):
        names = [item.name for item in found.skipped if item.reason == reason]
        lines.append(_("Left out: {names}: {reason}").format(names=_shorten(names), reason=reason))
    return lines


def _shorten(names: Iterable[str], count: int = 0) -> str:
    """List the first names, and say how many more there are; ``count``: all of them, if not all names are given."""
    shown = [escape_path(name) for name in names]
    more = max(count, len(shown)) - _MAX_NAMES
    text = join_list(shown[:_MAX_NAMES])
    return text if more <= 0 else _("{names} and {count} more").format(names=text, count=more)
