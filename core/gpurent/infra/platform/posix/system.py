"""Linux and macOS: private files, file systems, the user's browser.

The module itself implements `gpurent.ports.system.Platform`. Private files are accessible only to the user from the
moment they are created, and are either complete or absent.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import html
import os
import shlex
import stat
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpurent.child_processes import (
    DESKTOP_VARIABLES,
    USER_VARIABLES,
    make_child_environment,
    make_python_command,
    run_in_terminal,
)
from gpurent.errors import UsageError
from gpurent.infra.platform.pages import (
    REDIRECT_PAGE,
    is_allowed_url as is_allowed_url,
    list_left_pages,
    name_page,
)
from gpurent.infra.platform.posix.file_systems import read_file_system_rules as read_file_system_rules
from gpurent.infra.platform.storage_errors import make_storage_error as make_storage_error
from gpurent.locale import _

assert sys.platform != "win32"  # noqa: S101 - so that mypy does not read it for Windows

_SYSTEM: str = sys.platform


def make_private_folder(path: Path) -> Path:
    """Create ``path`` with mode 0700 if missing, and return it.

    Raises `UsageError` if it belongs to another user or is accessible to others. Missing parent folders get the same
    mode, because one of them may be requested later.
    """
    try:
        for folder in reversed(path.parents):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise UsageError(
            _("{path} is not a folder").format(path=path), hint=_("Set GPURENT_HOME to another folder.")
        ) from None
    except OSError as error:
        raise make_storage_error(path, error) from error
    found = path.stat()
    if found.st_uid != os.getuid():
        raise UsageError(
            _("{path} belongs to another user").format(path=path),
            hint=_("Set GPURENT_HOME to another folder."),
        )
    if found.st_mode & 0o077:
        raise UsageError(
            _("{path} is accessible to other users").format(path=path),
            hint=f"chmod 700 {shlex.quote(str(path))}",
        )
    return path


def write_private_file(path: Path, data: bytes, *, is_durable: bool = True) -> None:
    """Replace ``path`` by ``data`` atomically, with mode 0600 throughout; if durable, on disk when this returns."""
    with _write_partial(path, [data], is_durable=is_durable) as partial:
        partial.replace(path)


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """As `write_private_file`, with ``mode`` in the end."""
    with _write_partial(path, [data]) as partial:
        partial.chmod(mode)
        partial.replace(path)


def replace_path(source: str | Path, target: str | Path) -> None:
    """Give ``source`` the name ``target``, in place of a file."""
    Path(source).replace(target)


def write_new_private_file(path: Path, data: bytes) -> None:
    """As `write_private_file`; a file that is there already stays, and is a `FileExistsError`."""
    with _write_partial(path, [data]) as partial:
        os.link(partial, path)


def write_private_parts(path: Path, parts: Iterable[bytes], *, replace: bool) -> int:
    """As `write_private_file`, for a large file that comes in parts; return its size.

    With ``replace`` false, a file that is there already stays, and is a `FileExistsError`.
    """
    with _write_partial(path, parts) as partial:
        size = partial.stat().st_size
        if replace:
            partial.replace(path)
            return size
        try:
            os.link(partial, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links, such as that of most memory sticks
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            partial.replace(path)
    return size


@contextmanager
def _write_partial(path: Path, parts: Iterable[bytes], *, is_durable: bool = True) -> Iterator[Path]:
    """``parts`` beside ``path``, to be given its name within; gone afterwards, and the folder on the disk."""
    partial = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            if is_durable:
                sync_file(file.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)
    if is_durable:
        sync_folder(path.parent)


def delete_partial_files(path: Path) -> None:
    """Delete what killed writers of ``path`` left behind. The caller must hold the writers' lock."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        left.unlink(missing_ok=True)


def sync_file(file: int) -> None:
    """Return when the content is on the disk itself; macOS calls a disk's own cache that, unless asked so."""
    request = getattr(fcntl, "F_FULLFSYNC", None)
    if request is not None:
        with suppress(OSError):  # a file system that does not know it, such as one of a network
            fcntl.fcntl(file, request)
            return
    os.fsync(file)


def sync_folder(path: Path) -> None:
    """Make a rename in ``path`` survive a power failure."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_file(handle)
    finally:
        os.close(handle)


def read_private_file(path: Path) -> bytes:
    """Return the content of ``path``; raises `FileNotFoundError` if it is missing.

    Raises `UsageError` if it is a link, is accessible to other users, or belongs to one.
    """
    try:
        # O_NONBLOCK: a pipe put in its place must not block us.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise UsageError(_("{path} is a symbolic link, not a regular file").format(path=path)) from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(_("{path} is not a regular file").format(path=path))
        if found.st_uid != os.getuid():
            raise UsageError(_("{path} belongs to another user").format(path=path))
        check_private_file(path, file.fileno())
        return file.read()


def check_private_file(path: Path, file: int) -> None:
    """Raise `UsageError` if the open file is accessible to other users."""
    if os.fstat(file).st_mode & 0o077:
        raise UsageError(
            _("{path} is accessible to other users").format(path=path),
            hint=f"chmod 600 {shlex.quote(str(path))}",
        )


def has_display(environment: dict[str, str] | os._Environ[str] = os.environ) -> bool:
    """Return whether a browser would open a window. A text browser would take over the terminal."""
    if environment.get("BROWSER"):
        return True
    if _SYSTEM == "darwin":
        return "SSH_CONNECTION" not in environment
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_page(url: str, hosts: Collection[str]) -> bool:
    """Open ``url`` in the browser; False if it is not allowed or no browser is available."""
    return is_allowed_url(url, hosts) and open_in_browser(url)


def open_in_browser(url: str) -> bool:
    """Open ``url`` in the user's browser; False if none is available. Blocks until the browser has accepted it.

    All users of this computer can read the URL then: use `open_privately` for one that holds a secret.
    """
    if not has_display():
        return False
    script = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
    environment = make_child_environment((*USER_VARIABLES, *DESKTOP_VARIABLES, "BROWSER", "TERM"))
    try:
        return run_in_terminal(make_python_command("-c", script, url), environment=environment) == 0
    except OSError:
        return False


@contextmanager
def open_privately(url: str, folder: Path) -> Iterator[bool]:
    """Open ``url``, which holds a secret, in the user's browser, and yield whether that worked.

    The browser is given a private file in ``folder`` that leads to ``url``, so that no command line shows it. The file
    is deleted at the end.
    """
    make_private_folder(folder)
    for left in list_left_pages(folder, is_process_running):
        left.unlink(missing_ok=True)
    path = folder / name_page()
    write_new_private_file(path, REDIRECT_PAGE.format(url=html.escape(url)).encode())
    try:
        yield open_in_browser(path.as_uri())
    finally:
        path.unlink(missing_ok=True)


def is_process_running(pid: int) -> bool:
    """Return whether a process with this number runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
