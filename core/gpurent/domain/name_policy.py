"""Decides which names from a machine may be used in a local folder. Pure: what the folder is like is given.

A name is refused if what has it runs by itself, if the folder's file system cannot hold it, or if it is the same name
there as another one of the download.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from attrs import evolve, field, frozen

from gpurent.domain.auto_run_names import (
    AUTO_RUN_NAMES,
    HOME_AUTO_RUN_NAMES,
    REPOSITORY_AUTO_RUN_NAMES,
    REPOSITORY_MARK,
    WINDOWS_AUTO_RUN_ENDINGS,
)
from gpurent.domain.filenames import NameProblem, find_name_problem
from gpurent.domain.result_paths import compile_pattern

# Windows' second names of files: an arriving one may be the name of something that is there, such as GIT~1 of .git.
_SHORT_NAME = re.compile(r"([^.~]{1,8})~[0-9]{1,6}(?:\.[^.]{0,3})?")
_DRIVE = re.compile(r"[A-Za-z]:")
_SHORT_AUTO_RUN = frozenset(name.replace(".", "")[:6] for name in AUTO_RUN_NAMES)

_WINDOWS_CHARACTERS = frozenset('\\:<>"|?*')
_WINDOWS_DEVICES = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\..*)?"
)


def find_auto_run_name(path: str, home: Sequence[str] | None = None) -> str:
    """Return the first component of ``path`` that other programs run by themselves; empty if there is none.

    ``path`` is relative, and may have the wildcards ``*`` and ``?``. It is judged for every file system, since a
    project moves between computers. ``home``: as for `LocalNames`.
    """
    parts = _split_anywhere(path)
    for at, part in enumerate(parts):
        if any(_matches(part, name) for name in AUTO_RUN_NAMES) or _is_short_auto_run(part):
            return part
        in_home = home is not None and parts[:at] == [name.casefold() for name in home]
        if in_home and (part.startswith(".") or part in HOME_AUTO_RUN_NAMES):
            return part
    return ""


def _is_short_auto_run(name: str) -> bool:
    """Return whether ``name`` (without case) may be Windows' short name of something that runs by itself."""
    found = _SHORT_NAME.fullmatch(name)
    return found is not None and found[1] in _SHORT_AUTO_RUN


def leaves_folder(path: str) -> bool:
    """Return whether ``path`` goes out of its folder on any file system: up, to a root, or to another drive."""
    return ".." in _split_anywhere(path) or path.startswith(("/", "\\")) or bool(_DRIVE.match(path))


def _split_anywhere(path: str) -> list[str]:
    """Return the components as the most generous file system reads them.

    Windows takes backslashes for slashes, drops dots and spaces at the end, and what follows a colon; others ignore
    case and characters that are not seen.
    """
    visible = "".join(c for c in unicodedata.normalize("NFC", path) if unicodedata.category(c) != "Cf")
    parts = [part.casefold() for part in re.split(r"[/\\]", visible)]
    named = [part if part in (".", "..") else part.partition(":")[0].rstrip(". ") for part in parts]
    return [part for part in named if part not in ("", ".")]


def _matches(part: str, name: str) -> bool:
    """Whether ``part`` is ``name``, or a pattern that was made for such names: it does not begin with a wildcard."""
    if part[0] in "*?" or not ("*" in part or "?" in part):
        return part == name
    return compile_pattern(part).fullmatch(name.encode()) is not None


@frozen(kw_only=True)
class FileSystemRules:
    """What a file system does with names. ``windows_names``: it cannot hold the names that Windows reserves.

    ``normalizes_unicode``: two spellings of the same text, composed and decomposed, are one name.
    """

    ignores_case: bool = False
    normalizes_unicode: bool = False
    windows_names: bool = False


def get_usual_rules(platform: str) -> FileSystemRules:
    """Return what the usual file systems of ``platform``, as in `sys.platform`, do."""
    if platform == "win32":
        return FileSystemRules(ignores_case=True, windows_names=True)
    is_mac = platform == "darwin"
    return FileSystemRules(ignores_case=is_mac, normalizes_unicode=is_mac)


@frozen(kw_only=True, eq=False)
class LocalNames:
    """The names of one download into a local folder; it remembers those that it accepted.

    ``home``: the path of the user's home folder below that folder, None if it is not below it. ``is_repository`` tells
    of a path below the folder whether it is a repository here already. ``place``: where names are judged from now,
    below the folder; it comes from outside too, so it is part of every name.
    """

    rules: FileSystemRules = FileSystemRules()
    home: tuple[str, ...] | None = None
    is_repository: Callable[[tuple[str, ...]], bool] = lambda _path: False
    place: tuple[str, ...] = ()
    _accepted: dict[str, str] = field(factory=dict, repr=False)
    _folders: dict[tuple[str, ...], NameProblem | None] = field(factory=dict, repr=False)

    def below(self, path: str) -> LocalNames:
        """Return the same names, as seen from the folder ``path`` (relative, with slashes; empty: no change)."""
        return evolve(self, place=(*self.place, *(part for part in path.split("/") if part)))

    def find_problem(
        self, parts: Sequence[str], longest: int, *, is_folder: bool = False
    ) -> NameProblem | None:
        """Return why ``parts`` (path components) may not be used; None if they may, and then they are taken.

        ``longest``: the most bytes of a component. Text that was not valid UTF-8 has surrogates. ``is_folder``: the
        last one is the name of a folder, as it is without ``parts``.
        """
        path = (*self.place, *parts)
        if not path:
            return None
        if is_folder or not parts:
            return self._find_folder_problem(path, longest)
        return self._find_folder_problem(path[:-1], longest) or self._find_last_problem(path, longest, False)

    def _find_folder_problem(self, path: tuple[str, ...], longest: int) -> NameProblem | None:
        """Judge the folder ``path``. Only the last one and those above it are remembered: listings are in order."""
        if not path:
            return None
        if path not in self._folders:
            problem = self._find_folder_problem(path[:-1], longest) or self._find_last_problem(
                path, longest, True
            )
            for other in [other for other in self._folders if other != path[: len(other)]]:
                del self._folders[other]
            self._folders[path] = problem
        return self._folders[path]

    def _find_last_problem(self, path: tuple[str, ...], longest: int, is_folder: bool) -> NameProblem | None:
        name = path[-1]
        if problem := find_name_problem(name, longest):
            return problem
        if self._runs_by_itself(path) or self._makes_repository(path, is_folder):
            return NameProblem.AUTO_RUN
        if self.rules.windows_names and (is_reserved_by_windows(name) or _SHORT_NAME.fullmatch(name)):
            return NameProblem.RESERVED
        return NameProblem.SAME_NAME if self._is_taken(path) else None

    def _runs_by_itself(self, path: tuple[str, ...]) -> bool:
        name = path[-1].casefold()
        if name in AUTO_RUN_NAMES:
            return True
        if self.rules.windows_names and (name.endswith(WINDOWS_AUTO_RUN_ENDINGS) or _is_short_auto_run(name)):
            return True
        return path[:-1] == self.home and (name.startswith(".") or name in HOME_AUTO_RUN_NAMES)

    def _makes_repository(self, path: tuple[str, ...], is_folder: bool) -> bool:
        """Return whether git would take the folder of ``path`` for a repository by it, or run it in one that is here.

        This depends on no other name of the download: what comes first, and what comes with the next one, is the same.
        """
        name = path[-1].casefold() if self.rules.ignores_case else path[-1]
        mark = REPOSITORY_MARK.casefold() if self.rules.ignores_case else REPOSITORY_MARK
        if name == mark:
            return not is_folder
        return name.casefold() in REPOSITORY_AUTO_RUN_NAMES and self.is_repository(path[:-1])

    def _is_taken(self, path: tuple[str, ...]) -> bool:
        """Take the path; return whether another spelling of it was taken before. Its folder was judged already."""
        if not (self.rules.ignores_case or self.rules.normalizes_unicode):
            return False
        key = "/".join(path)
        if self.rules.normalizes_unicode:
            key = unicodedata.normalize("NFC", key)
        if self.rules.ignores_case:
            key = unicodedata.normalize("NFC", key.casefold())
        return self._accepted.setdefault(key, path[-1]) != path[-1]


def is_reserved_by_windows(name: str) -> bool:
    """Return whether Windows takes ``name`` (one path component) for something else than a file of that name."""
    return (
        name[-1:] in (".", " ")
        or not _WINDOWS_CHARACTERS.isdisjoint(name)
        or any(character < " " for character in name)
        or _WINDOWS_DEVICES.fullmatch(name.casefold()) is not None
    )
