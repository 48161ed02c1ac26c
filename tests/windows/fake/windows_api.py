"""Stands in for `gpurent.infra.platform.windows.api` under the fake Windows, by what Linux has.

Access lists are the modes of files; a folder that is pinned cannot be deleted; a file that this process or the one that
started it has open cannot be replaced.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

SIDS = {"WD": "S-1-1-0", "BA": "S-1-5-32-544", "SY": "S-1-5-18"}
ENGLISH = 0x0409
OPENED = "FAKE_WINDOWS_OPENED"
LANGUAGE = "FAKE_WINDOWS_LANGUAGE"
_pinned: dict[int, str] = {}


def _make_error(number: int, path: str, windows: int) -> OSError:
    error = OSError(number, os.strerror(number), path)
    error.winerror = windows  # type: ignore[attr-defined]
    return error


def open_file(
    path: str, *, writes: bool = False, creates: bool = False, must_be_new: bool = False, access: str = ""
) -> int:
    if os.path.isdir(path) and not os.path.islink(path):
        raise _make_error(errno.EACCES, path, 5)
    flags = (os.O_RDWR if writes else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    flags |= (os.O_CREAT if creates else 0) | (os.O_EXCL if must_be_new else 0)
    is_new = creates and not os.path.lexists(path)
    handle = os.open(path, flags, 0o644)
    if is_new:
        os.fchmod(handle, 0o600 if access or not os.stat(os.path.dirname(path)).st_mode & 0o077 else 0o644)
    elif writes and not os.fstat(handle).st_mode & 0o200:
        os.close(handle)
        raise _make_error(errno.EACCES, path, 5)
    return handle


def pin_folder(path: str) -> int:
    if os.path.islink(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    _pinned[handle] = os.path.realpath(path)
    return handle


def is_pinned(path: str) -> bool:
    return os.path.realpath(path) in _pinned.values()


def close_handle(handle: int) -> None:
    _pinned.pop(handle, None)
    os.close(handle)


def make_folder(path: str, access: str) -> None:
    os.mkdir(path, 0o700)


def set_access(path: str, access: str) -> None:
    os.chmod(path, 0o700 if os.path.isdir(path) else 0o600)


def read_file_access(file: int) -> str:
    return read_access(file)


def read_access(handle: int) -> str:
    found = os.fstat(handle)
    owner = f"S-1-5-21-1-2-3-{found.st_uid}"
    everybody = "(A;;FR;;;WD)" if stat.S_IMODE(found.st_mode) & 0o077 else ""
    return f"O:{owner}D:P(A;;FA;;;{owner})(A;;FA;;;SY)(A;;FA;;;BA){everybody}"


def expand_sid(name: str) -> str:
    return SIDS.get(name, name)


def get_user_sid() -> str:
    return f"S-1-5-21-1-2-3-{os.getuid()}"


def replace(source: str, target: str) -> None:
    if os.path.exists(target) and (_is_open(os.path.realpath(target)) or not os.stat(target).st_mode & 0o200):
        raise _make_error(errno.EACCES, target, 5)
    os.replace(source, target)


def _is_open(path: str) -> bool:
    for pid in (os.getpid(), os.getppid()):
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                if os.readlink(handle) == path:
                    return True
            except OSError:
                continue
    return False


def set_file_time(file: int, time: int) -> None:
    time = time // 100 * 100
    os.utime(file, ns=(time, time))


def lock_file(file: int, *, waits: bool) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def is_process_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()


def get_language_number() -> int:
    return int(os.environ.get(LANGUAGE, "0") or 0) or ENGLISH


def open_with_shell(target: str) -> None:
    if OPENED not in os.environ:
        raise _make_error(errno.ENOENT, target, 2)
    with open(os.environ[OPENED], "a", encoding="utf-8") as file:
        file.write(f"{target}\n")


def get_console_mode(file: int) -> int | None:
    return None


def set_console_mode(file: int, mode: int) -> None:
    raise AssertionError("no console here")


def read_console(file: int, most: int) -> str:
    raise AssertionError("no console here")
