"""The paths and patterns of results, relative to the job's folder, and how their downloads are grouped. Pure.

In a pattern, ``*`` stands for any characters but ``/``, ``?`` for one of them, and ``**`` as a whole component for any
number of folders. A path that exists under exactly its name is not taken for a pattern.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from gpurent.locale import _


def is_pattern(path: str) -> bool:
    return "*" in path or "?" in path


def check_pattern(path: str) -> None:
    """Raise `ValueError` with what is wrong if ``path`` is a pattern that means nothing."""
    for part in path.split("/"):
        if "**" in part and part != "**":
            raise ValueError(
                _("{path}: ** must stand alone between slashes, as in out/**/*.pt").format(path=path)
            )


def get_pattern_base(pattern: str) -> str:
    """Return the folder that a pattern searches: its components before the first wildcard; ``.`` without any."""
    parts = pattern.split("/")
    wild = next(at for at, part in enumerate(parts) if is_pattern(part))
    return "/".join(parts[:wild]) or "."


def compile_pattern(pattern: str) -> re.Pattern[bytes]:
    """Return the regular expression that whole paths must match, as bytes: names on a machine need not be text."""
    text = ""
    for part in pattern.split("/"):
        if part == "**":
            text += "(?:[^/]+/)*"
            continue
        wild = {"*": "[^/]*", "?": "[^/]"}
        text += "".join(wild.get(letter) or re.escape(letter) for letter in part) + "/"
    # A pattern that ends in ** stands for everything below.
    text = f"{text}[^/]+" if text.endswith(")*") else text.removesuffix("/")
    return re.compile(text.encode(), re.DOTALL)


def drop_nested(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths without those that lie below another one, in order."""
    unique = list(dict.fromkeys(paths))
    known = set(unique)
    return tuple(path for path in unique if not any(above in known for above in iter_folders(path)))


def iter_folders(path: str) -> Iterable[str]:
    """Yield the folders above a relative path, the nearest first, without ``.``."""
    while path := posixpath.dirname(path):
        yield path


def collapse_folders(files: Iterable[str], mixed: Iterable[str]) -> tuple[str, ...]:
    """Return the fewest paths that cover ``files``: a folder instead of its files, unless it is one of ``mixed``.

    A folder above a mixed one is mixed too. ``.`` is never returned.
    """
    closed = {above for folder in mixed for above in (folder, *iter_folders(folder))}
    found = []
    for file in files:
        whole = [folder for folder in iter_folders(file) if folder not in closed]
        found.append(whole[-1] if whole else file)
    return tuple(dict.fromkeys(found))


@frozen(kw_only=True)
class ResultGroup:
    """Results in one ``folder`` (relative to the job's; empty: itself), which are downloaded together into the same."""

    folder: str
    names: tuple[str, ...]


def group_by_folder(paths: Sequence[str]) -> tuple[ResultGroup, ...]:
    """Group ``paths`` so that each is downloaded to its own relative place. A slash at the end is kept."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        bare = path.rstrip("/")
        slash = path[len(bare) :]
        groups.setdefault(posixpath.dirname(bare), []).append(posixpath.basename(bare) + slash)
    return tuple(ResultGroup(folder=folder, names=tuple(names)) for folder, names in _sorted(groups))


def _sorted(groups: Mapping[str, list[str]]) -> Sequence[tuple[str, list[str]]]:
    return sorted(groups.items())
