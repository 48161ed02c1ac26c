"""What Linux and macOS do: private files, locks between processes, the user's browser.

The module itself implements `gpurent.ports.system.Platform`. Private files are ours alone from the first moment, and
whole or not there.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import re
import shlex
import stat
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from gpurent.errors import BusyError, UsageError
from gpurent.locale import _

_PAGE_URL = re.compile(r"https://([a-z0-9.-]{1,253})(?:/[A-Za-z0-9._~/%?&=+-]{0,500})?")


def make_private_folder(path: Path) -> Path:
    """``path`` as a folder of ours with mode 0700, made if missing. Someone else's, or open to others: `UsageError`.

    Folders above it that are missing get the same mode: one of them may be asked for later.
    """
    try:
        for folder in reversed(path.parents):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        what = (
            _("{path} is not a folder")
            if isinstance(error, FileExistsError)
            else _("{path} cannot be made: {why}")
        )
        raise UsageError(
            what.format(path=path, why=error.strerror), hint=_("Choose another folder with GPURENT_HOME.")
        ) from None
    found = path.stat()
    if found.st_uid != os.getuid():
        raise UsageError(
            _("{path} belongs to another user").format(path=path),
            hint=_("Choose another folder with GPURENT_HOME."),
        )
    if found.st_mode & 0o077:
        raise UsageError(
            _("{path} is open to other users").format(path=path), hint=f"chmod 700 {shlex.quote(str(path))}"
        )
    return path


def write_private_file(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` in one move, mode 0600 throughout; on the disk when this returns."""
    import secrets  # brings hashlib, which readers do not need

    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def delete_partial_files(path: Path) -> None:
    """Remove what writers of ``path`` left behind when they were killed. Only under the writers' own lock."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        left.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make a rename in ``path`` survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_private_file(path: Path) -> bytes:
    """What ``path`` holds. A link, readable by others or not ours: `UsageError`. Missing: `FileNotFoundError`."""
    try:
        # A pipe put in its place must not hang us.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise UsageError(_("{path} is a link; a plain file belongs there").format(path=path)) from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(_("{path} is not a plain file").format(path=path))
        if found.st_uid != os.getuid():
            raise UsageError(_("{path} belongs to another user").format(path=path))
        if found.st_mode & 0o077:
            raise UsageError(
                _("{path} is open to other users").format(path=path),
                hint=f"chmod 600 {shlex.quote(str(path))}",
            )
        return file.read()


@frozen(eq=False)
class FileLocks:
    """Implements `gpurent.ports.system.Locks` by files in ``folder``; each holds the process number of its holder."""

    folder: Path

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        handle = os.open(make_private_folder(self.folder) / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "?"
                text = _("{name} is being worked on by process {holder}").format(name=name, holder=holder)
                raise BusyError(text, holder=holder) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(handle)


def is_allowed_url(url: str, hosts: Collection[str]) -> bool:
    """Whether ``url`` is a plain https address on one of ``hosts``: no port, no user, no odd character."""
    page = _PAGE_URL.fullmatch(url)
    return page is not None and page[1] in hosts


def has_display(environment: dict[str, str] | os._Environ[str] = os.environ) -> bool:
    """Whether a browser would open a window. One inside the terminal would take the terminal away."""
    if environment.get("BROWSER"):
        return True
    if sys.platform == "darwin":
        return "SSH_CONNECTION" not in environment
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_page(url: str, hosts: Collection[str]) -> bool:
    """Show ``url``; False when it may not be, or nothing shows pages here. Blocks until the browser has taken it."""
    if not is_allowed_url(url, hosts) or not has_display():
        return False
    import webbrowser

    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
