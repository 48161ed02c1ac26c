"""What a trip's results are on this computer: a list of files and folders, kept with the trip."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from stat import S_ISDIR, S_ISREG

from attrs import frozen

from gpurent.domain.filenames import escape_path
from gpurent.locale import _, join_list, ngettext
from gpurent.locale.sizes import format_size
from gpurent.ports.local_files import FileTree, LocalFiles
from gpurent.workflow.connection.local_folder import LocalPlace

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


def list_results(files: LocalFiles, place: LocalPlace, paths: Sequence[str]) -> ResultList:
    """Measure what is at ``paths`` below the place; what is not there, or a link, is left out. Blocks."""
    found = []
    try:
        with closing(files.open_tree(place.root, place.below)) as tree:
            for path in dict.fromkeys(path.rstrip("/") for path in paths):
                count, size = _measure(tree, tuple(path.split("/")) if path not in ("", ".") else ())
                if count:
                    found.append(ResultItem(path=path, files=count, size=size))
    except OSError:
        pass  # it is only told
    return ResultList(folder=str(place.path), items=tuple(found))


def _measure(tree: FileTree, name: tuple[str, ...]) -> tuple[int, int]:
    """Return how many files there are at ``name`` or below, and their bytes."""
    if name:
        try:
            with tree.open_folder(name[:-1]) as parent:
                status = parent.stat_entry(name[-1])
        except OSError:
            return 0, 0
        if not S_ISDIR(status.st_mode):
            return (1, status.st_size) if S_ISREG(status.st_mode) else (0, 0)
    count = size = 0
    with tree.open_folder(name) as opened:
        entries = [(entry.name, entry.stat(follow_symlinks=False)) for entry in opened.list_entries()]
    for base, status in entries:
        more = (1, status.st_size) if S_ISREG(status.st_mode) else (0, 0)
        if S_ISDIR(status.st_mode):
            more = _measure(tree, (*name, base))
        count, size = count + more[0], size + more[1]
    return count, size


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
