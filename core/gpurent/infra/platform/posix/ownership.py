"""Whose a file is, who else can access it, and files of which only the user has anything."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

assert sys.platform != "win32"  # noqa: S101 - so that mypy does not read it for Windows


def create_private_file(path: Path) -> None:
    """Create an empty file that only the user can access, if it is missing."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def make_private(path: Path) -> bool:
    """Make a file of the user accessible to nobody else; return whether that was to be done. Raises `OSError`."""
    if not is_shared(path):
        return False
    path.chmod(0o600)
    return True


def is_shared(path: Path) -> bool:
    """Return whether others have any access to a file. Raises `OSError`."""
    return bool(path.stat().st_mode & 0o077)


def is_writable_by_others(path: Path) -> bool:
    """Return whether others can change a file. Raises `OSError`."""
    return bool(path.stat().st_mode & 0o022)


def open_settings_file(path: Path) -> int:
    """Open a file of settings for reading; links are followed."""
    # O_NONBLOCK: opening a pipe would block.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def open_appending(path: Path) -> int:
    """Open a private file for appending, created if it is missing; a link is an error."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def find_file_owner(file: int) -> int:
    """Return the number of the owner of an open file."""
    return os.fstat(file).st_uid


def get_user_number() -> int:
    return os.getuid()


def find_user_name(number: int) -> str:
    """Return the name of a user; the number as text if nobody has it."""
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def is_own_file(path: Path) -> bool:
    """Return whether the file is the user's; a link counts as what it leads to. Raises `OSError`."""
    return path.stat().st_uid == os.getuid()


def suggest_private_access(path: Path) -> str:
    """Return the command that makes a file accessible to the user alone."""
    return f"chmod 600 {shlex.quote(str(path))}"


def get_computer_name() -> str:
    return os.uname().nodename
