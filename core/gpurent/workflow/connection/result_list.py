"""What a trip's results are on this computer: a list of files and folders, kept with the trip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from gpurent.domain.filenames import escape_path
from gpurent.locale import _, join_list, ngettext
from gpurent.locale.sizes import format_size

MAX_SHOWN = 5


@frozen(kw_only=True)
class ResultItem:
    """A file, or a folder with ``files`` of ``size`` bytes in all; ``path``: below the folder of the results."""

    path: str
    files: int
    size: int


@frozen(kw_only=True)
class ResultList:
    """``folder``: where the results were downloaded to."""

    folder: str
    items: tuple[ResultItem, ...] = ()


def list_results(folder: Path, paths: Sequence[str]) -> ResultList:
    """Measure what is at ``paths`` below ``folder``; what is not there, or a link, is left out. Blocks."""
    found = []
    for path in dict.fromkeys(path.rstrip("/") for path in paths):
        files, size = _measure(folder / path)
        if files:
            found.append(ResultItem(path=path, files=files, size=size))
    return ResultList(folder=str(folder), items=tuple(found))


def _measure(path: Path) -> tuple[int, int]:
    if path.is_symlink():
        return 0, 0
    if path.is_file():
        return 1, path.stat().st_size
    sizes = [
        os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - as fast as it can be, of many files
        for place, _folders, names in os.walk(path)
        for name in names
    ]
    return len(sizes), sum(sizes)


def format_item(item: ResultItem) -> str:
    """Return a path with how much it is, on one line."""
    size = format_size(item.size)
    if item.files == 1:
        return f"{escape_path(item.path)} ({size})"
    text = ngettext("{count} file, {size}", "{count} files, {size}", item.files)
    return f"{escape_path(item.path)} ({text.format(count=item.files, size=size)})"


def format_short_list(results: ResultList) -> str:
    """Return the folder with the first results, on one line."""
    shown = [format_item(item) for item in results.items[:MAX_SHOWN]]
    more = len(results.items) - len(shown)
    if more:
        shown.append(ngettext("{count} more", "{count} more", more).format(count=more))
    return _("{folder}: {names}").format(folder=escape_path(results.folder), names=join_list(shown))
