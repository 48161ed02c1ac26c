"""The folders above the data folder: who can write one of them can put another data folder in its place."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from contextlib import suppress
from pathlib import Path

from gpurent.errors import UsageError
from gpurent.locale import _

assert sys.platform != "win32"  # noqa: S101 - so that mypy does not read it for Windows

# Root's, and that of a user who is unknown in this namespace: of such folders nobody here is the owner.
_NOBODY_HERE = (0, 65534)


def check_parent_folders(path: Path) -> None:
    """Raise `UsageError` if another user can rename what lies on the way to ``path``, which need not exist."""
    for folder in dict.fromkeys([*path.absolute().parents, *path.resolve().parents]):
        try:
            found = folder.stat()
        except OSError:
            continue  # what is missing is made private; what cannot be read is reported when it is used
        if found.st_uid not in (os.getuid(), _get_sudo_user(), *_NOBODY_HERE):
            raise UsageError(
                _("{path} is in a folder of another user: {folder}").format(path=path, folder=folder),
                hint=_("Set GPURENT_HOME to another folder."),
            )
        if _is_writable_by_others(folder, found):
            raise UsageError(
                _("other users can replace {path}: {folder} is writable for them").format(
                    path=path, folder=folder
                ),
                hint=f"chmod go-w {shlex.quote(str(folder))}",
            )


def _get_sudo_user() -> int:
    """Return the user who became root by sudo, and so may be root at any time; else the user of this process."""
    uid, given = os.getuid(), os.environ.get("SUDO_UID", "")
    return int(given) if uid == 0 and given.isdecimal() else uid


def _is_writable_by_others(folder: Path, found: os.stat_result) -> bool:
    if found.st_mode & stat.S_ISVTX:
        return False  # as /tmp: only the owner of an entry can rename it
    if found.st_mode & stat.S_IWOTH:
        return True
    # With an access control list, the group's bits are what any user or group of the list may have at most.
    return bool(found.st_mode & stat.S_IWGRP) and (
        _has_access_list(folder) or not _is_own_group(found.st_gid)
    )


def _has_access_list(folder: Path) -> bool:
    if not hasattr(os, "getxattr"):
        return False
    with suppress(OSError):
        return bool(os.getxattr(folder, "system.posix_acl_access"))
    return False


def _is_own_group(gid: int) -> bool:
    """Return whether nobody else is in the group: many systems give each user a group, and umask 002."""
    import grp
    import pwd

    if gid == 0:
        return True
    try:
        user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and set(group.gr_mem) <= {user.pw_name} and group.gr_name == user.pw_name
