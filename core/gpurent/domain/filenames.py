"""Checks which names sent by an untrusted remote may become local files."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence
from enum import Enum

from gpurent.locale import N_, _

_MAX_LINK_BYTES = 4000  # bytes; the usual OS limit is 4096

_FORBIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def escape_name(name: str) -> str:
    """Return ``name`` as it may be printed, with special characters escaped and at most 300 characters."""
    return "".join(
        c if unicodedata.category(c) not in _FORBIDDEN_CATEGORIES else f"\\u{ord(c):04x}" for c in name
    )[:300]


def escape_path(path: str) -> str:
    """Return ``path`` as it may be printed: each component as by `escape_name`, so that none is cut off."""
    return "/".join(escape_name(part) for part in path.split("/"))


class NameProblem(Enum):
    """Why a name from a machine is not used on this computer; the values are stable words.

    AUTO_RUN, RESERVED and SAME_NAME depend on the local folder: see `gpurent.domain.name_policy`.
    """

    INVALID = "invalid"
    SEPARATOR = "separator"
    CHARACTERS = "characters"
    TOO_LONG = "too-long"
    AUTO_RUN = "auto-run"
    RESERVED = "reserved"
    SAME_NAME = "same-name"

    @property
    def text(self) -> str:
        """The reason in the user's language."""
        return _(_NAME_PROBLEM_TEXTS[self])


_NAME_PROBLEM_TEXTS = {
    NameProblem.INVALID: N_("not a valid name"),
    NameProblem.SEPARATOR: N_("the name contains a path separator"),
    NameProblem.CHARACTERS: N_(
        "the name contains control or text-direction characters, or is not valid UTF-8"
    ),
    NameProblem.TOO_LONG: N_("the name is too long"),
    NameProblem.AUTO_RUN: N_("other programs would run it, or read settings from it, without being asked"),
    NameProblem.RESERVED: N_("the file system here cannot hold the name"),
    NameProblem.SAME_NAME: N_("the file system here takes it for the same name as another one"),
}


def find_name_problem(name: str, longest: int) -> NameProblem | None:
    """Return why ``name`` (one path component) cannot be used on any computer; None if it can.

    ``longest``: the most bytes. Text that was not valid UTF-8 has surrogates.
    """
    if name in ("", ".", ".."):
        return NameProblem.INVALID
    if "/" in name or "\0" in name:
        return NameProblem.SEPARATOR
    is_plain = name.isascii() and name.isprintable()
    if not is_plain and any(unicodedata.category(c) in _FORBIDDEN_CATEGORIES for c in name):
        return NameProblem.CHARACTERS
    if len(name.encode()) > longest:
        return NameProblem.TOO_LONG
    return None


def find_path_problem(path: bytes, longest: int) -> NameProblem | None:
    """Return what `find_name_problem` says of the components of a relative path."""
    parts = path.decode("utf-8", "surrogateescape").split("/")
    return next(filter(None, (find_name_problem(part, longest) for part in parts)), None)


def link_reject_reason(place: Sequence[str], target: str, tops: Container[str], longest: int) -> str:
    """Return why a symbolic link in the folder ``place`` may not point to ``target``; empty if it may.

    ``place`` is a list of path components, below one of ``tops``. Only the names are checked; the target need not
    exist. ``..`` is allowed only at the start of ``target``: where ``a`` is a link, ``a/..`` is not the folder it
    appears to be, and two such links together could lead anywhere.
    """
    if not target:
        return _("it has no target")
    if target.startswith("/"):
        return _("its target is an absolute path")
    if len(target.encode("utf-8", "surrogateescape")) > _MAX_LINK_BYTES:
        return _("its target is too long")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    up = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    if ".." in parts[up:]:
        return _("its target goes into a folder and up again")
    for part in parts[up:]:
        if problem := find_name_problem(part, longest):
            return _("invalid target: {reason}").format(reason=problem.text)
    found = [*place[: len(place) - up], *parts[up:]]
    if up > len(place) or not found or found[0] not in tops:
        return _("its target is outside the requested folders")
    return ""
