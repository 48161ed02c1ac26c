"""The keys that let a user into a machine, in ``~/.ssh/authorized_keys`` on its disk."""

import os
from collections.abc import Iterable
from pathlib import Path

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def add_authorized_keys(home: Path, lines: Iterable[str]) -> None:
    """Add the lines that the file below ``home`` does not have yet; what is there stays.

    Raises ``OSError`` if the machine's user put something else in its place: a link may lead out of the machine.
    """
    wanted = list(lines)
    if not wanted:
        return
    path = home / ".ssh"
    path.mkdir(mode=0o700, exist_ok=True)
    folder = os.open(path, _FOLDER_FLAGS)
    try:
        file = os.open("authorized_keys", _FILE_FLAGS, 0o600, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(file, "r+b", buffering=0) as keys:
        known = keys.read()
        present = known.decode(errors="replace").splitlines()
        new = [line for line in dict.fromkeys(wanted) if line not in present]
        separator = "" if known.endswith(b"\n") or not known else "\n"
        if new:
            keys.write((separator + "\n".join(new) + "\n").encode())
