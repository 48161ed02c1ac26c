"""Files and folders that only the user can access, by their access lists."""

from __future__ import annotations

import glob
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from gpurent.errors import UsageError
from gpurent.infra.platform.storage_errors import make_storage_error as make_storage_error
from gpurent.infra.platform.windows import api
from gpurent.infra.platform.windows.access_lists import (
    find_owner,
    get_account_number,
    is_owned,
    list_strangers,
    make_private_list,
)
from gpurent.locale import _

assert sys.platform == "win32"  # noqa: S101 - so that mypy reads it for Windows alone

T = TypeVar("T")
# What scanners and indexers take to let go of a file that they read.
REPLACE_SECONDS = 2.0
_RETRY_SECONDS = 0.02
_HELD_ERRORS = (5, 32, 33)  # access denied, in use by another process, locked


def make_private_folder(path: Path) -> Path:
    """See `gpurent.ports.system.Platform`. Missing folders above it are made in the same way."""
    access = make_private_list(api.get_user_sid(), is_folder=True)
    try:
        for folder in (*reversed(path.parents), path):
            if not folder.exists():
                with suppress(FileExistsError):
                    api.make_folder(str(folder), access)
        handle = api.pin_folder(os.path.realpath(path))
    except NotADirectoryError:
        raise UsageError(
            _("{path} is not a folder").format(path=path), hint=_("Set GPURENT_HOME to another folder.")
        ) from None
    except OSError as error:
        raise make_storage_error(path, error) from error
    try:
        _check_access(path, api.read_access(handle), _("Set GPURENT_HOME to another folder."))
    finally:
        api.close_handle(handle)
    return path


def _check_access(path: Path, access: str, hint: str = "") -> None:
    """Raise `UsageError` if a file with this access list is another user's, or accessible to others."""
    user = api.get_user_sid()
    if not is_owned(find_owner(access, api.expand_sid), user):
        raise UsageError(_("{path} belongs to another user").format(path=path), hint=hint)
    if list_strangers(access, user, api.expand_sid):
        raise UsageError(
            _("{path} is accessible to other users").format(path=path), hint=suggest_private_access(path)
        )


def suggest_private_access(path: Path) -> str:
    """Return the command that makes a file or folder accessible to the user alone."""
    flags = "(OI)(CI)F" if path.is_dir() else "F"
    return f'icacls "{path}" /inheritance:r /grant:r "%USERNAME%:{flags}"'


def write_private_file(path: Path, data: bytes, *, is_durable: bool = True) -> None:
    """Replace ``path`` by ``data`` atomically, accessible to the user alone throughout."""
    access = make_private_list(api.get_user_sid(), is_folder=False)
    with _write_partial(path, [data], access=access, is_durable=is_durable) as partial:
        replace_path(partial, path)


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """As `write_private_file`, with the access list that files in the folder have. ``mode`` is for other systems."""
    with _write_partial(path, [data]) as partial:
        replace_path(partial, path)


def write_new_private_file(path: Path, data: bytes) -> None:
    """As `write_private_file`; a file that is there already stays, and is a `FileExistsError`."""
    access = make_private_list(api.get_user_sid(), is_folder=False)
    with _write_partial(path, [data], access=access) as partial:
        partial.rename(path)


def write_private_parts(path: Path, parts: Iterable[bytes], *, replace: bool) -> int:
    """As `write_private_file`, for a large file that comes in parts; return its size.

    With ``replace`` false, a file that is there already stays, and is a `FileExistsError`.
    """
    access = make_private_list(api.get_user_sid(), is_folder=False)
    with _write_partial(path, parts, access=access) as partial:
        size = partial.stat().st_size
        if replace:
            replace_path(partial, path)
        else:
            partial.rename(path)
    return size


@contextmanager
def _write_partial(
    path: Path, parts: Iterable[bytes], *, access: str = "", is_durable: bool = True
) -> Iterator[Path]:
    """``parts`` beside ``path``, to be given its name within; gone afterwards."""
    partial = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    handle = api.open_file(str(partial), writes=True, creates=True, must_be_new=True, access=access)
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def replace_path(source: str | Path, target: str | Path) -> None:
    """Give ``source`` the name ``target``, in place of a file; waits a moment while another program has that open."""
    with suppress(OSError):
        if not Path(target).stat().st_mode & stat.S_IWRITE:
            Path(target).chmod(stat.S_IWRITE)
    retry_held(lambda: api.replace(str(source), str(target)))


def retry_held(action: Callable[[], T]) -> T:
    """Return what ``action`` returns; tried again for a while if another program has the file open."""
    until = time.monotonic() + REPLACE_SECONDS
    while True:
        try:
            return action()
        except OSError as error:
            if getattr(error, "winerror", 0) not in _HELD_ERRORS or time.monotonic() > until:
                raise
        time.sleep(_RETRY_SECONDS)


def delete_partial_files(path: Path) -> None:
    """Delete what killed writers of ``path`` left behind. The caller must hold the writers' lock."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        left.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Nothing: Windows writes the names of files itself, and a replacement is written through."""


def read_private_file(path: Path) -> bytes:
    """See `gpurent.ports.system.Platform`."""
    try:
        handle = api.open_file(str(path))
    except OSError:
        if path.is_symlink() or path.is_dir():
            raise UsageError(_("{path} is not a regular file").format(path=path)) from None
        raise
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UsageError(_("{path} is not a regular file").format(path=path))
        check_private_file(path, file.fileno())
        return file.read()


def check_private_file(path: Path, file: int) -> None:
    """Raise `UsageError` if the open file is another user's, or accessible to others."""
    _check_access(path, api.read_file_access(file))


def create_private_file(path: Path) -> None:
    """Create an empty file that only the user can access, if it is missing."""
    access = make_private_list(api.get_user_sid(), is_folder=False)
    with suppress(FileExistsError):
        os.close(api.open_file(str(path), writes=True, creates=True, must_be_new=True, access=access))


def make_private(path: Path) -> bool:
    """Make a file of the user accessible to nobody else; return whether that was to be done. Raises `OSError`."""
    if not is_shared(path):
        return False
    api.set_access(str(path), make_private_list(api.get_user_sid(), is_folder=path.is_dir()))
    return True


def is_shared(path: Path) -> bool:
    """Return whether others have any access to a file; a link counts as what it leads to. Raises `OSError`."""
    handle = open_settings_file(path)
    try:
        access = api.read_file_access(handle)
    finally:
        os.close(handle)
    return bool(list_strangers(access, api.get_user_sid(), api.expand_sid))


def is_writable_by_others(path: Path) -> bool:
    """As `is_shared`: which of the many rights lets somebody change a file is not told apart."""
    return is_shared(path)


def open_settings_file(path: Path) -> int:
    """Open a file of settings for reading; links are followed."""
    return api.open_file(os.path.realpath(path))


def open_appending(path: Path) -> int:
    """Open a private file for appending, created if it is missing; a link is an error."""
    access = make_private_list(api.get_user_sid(), is_folder=False)
    handle = api.open_file(str(path), writes=True, creates=True, access=access)
    os.lseek(handle, 0, os.SEEK_END)
    return handle


def find_file_owner(file: int) -> int:
    """Return the number of the owner of an open file; that of the user for what is the user's."""
    owner, user = find_owner(api.read_file_access(file), api.expand_sid), api.get_user_sid()
    return get_account_number(user if is_owned(owner, user) else owner)


def get_user_number() -> int:
    return get_account_number(api.get_user_sid())


def find_user_name(number: int) -> str:
    """Return the number as text: an account's name is known only by all of its SID."""
    return str(number)


def is_own_file(path: Path) -> bool:
    """Return whether the file is the user's; a link counts as what it leads to. Raises `OSError`."""
    handle = open_settings_file(path)
    try:
        return find_file_owner(handle) == get_user_number()
    finally:
        os.close(handle)


def get_computer_name() -> str:
    return os.environ.get("COMPUTERNAME", "")
