"""Files below a folder on Windows: every folder on the way is held open, so that nothing else takes its place.

Windows refuses to rename or delete a folder that is open in this way, so that a path through it is what it was.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from attrs import frozen

from gpurent.domain.name_policy import is_reserved_by_windows
from gpurent.infra.platform.windows import api, file_modes, private_files
from gpurent.ports.local_files import Name

assert sys.platform == "win32"  # noqa: S101 - so that mypy reads it for Windows alone

_MAX_OPEN_FOLDERS = 64
_LINK_TAGS = (stat.IO_REPARSE_TAG_SYMLINK, stat.IO_REPARSE_TAG_MOUNT_POINT)
_position_lock = threading.Lock()


@frozen
class WindowsEntry:
    """Implements `gpurent.ports.local_files.FolderEntry`; a junction counts as a link, which it is."""

    name: str
    _found: os.DirEntry[str]

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        return stat.S_ISDIR(self.stat(follow_symlinks=follow_symlinks).st_mode)

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        # What a listing tells of a file may be older than the file.
        return Path(self._found.path).stat() if follow_symlinks else _read_status(self._found.path)


class WindowsFolder:
    """Implements `gpurent.ports.local_files.OpenFolder`. ``users``: callers that have it open, by its tree."""

    __slots__ = ("_handle", "_tree", "name", "path", "users")

    def __init__(self, tree: WindowsFileTree, name: tuple[str, ...], path: str) -> None:
        self._tree, self.name, self.path, self.users = tree, name, path, 0
        self._handle = api.pin_folder(path)

    def __enter__(self) -> WindowsFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tree.give_back(self)

    def close(self) -> None:
        handle, self._handle = self._handle, 0
        if handle:
            api.close_handle(handle)

    def list_entries(self) -> Sequence[WindowsEntry]:
        with os.scandir(self.path) as found:
            return sorted((WindowsEntry(entry.name, entry) for entry in found), key=lambda entry: entry.name)

    def stat_entry(self, base: str | bytes) -> os.stat_result:
        return _read_status(self._join(base))

    def find_mode(self, base: str | bytes, mode: int) -> int:
        path = self._join(base)
        if os.path.isdir(path):
            return file_modes.FOLDER_MODE
        with os.fdopen(self.open_file(base), "rb") as file:
            is_program = file_modes.is_script(file.read(2)) or self._tree.git_modes.is_program(path)
        return file_modes.PROGRAM_MODE if is_program else file_modes.FILE_MODE

    def open_file(self, base: str | bytes) -> int:
        return api.open_file(self._join(base))

    def create_file(self, base: str | bytes, *, must_be_new: bool = False) -> int:
        return api.open_file(self._join(base), writes=True, creates=True, must_be_new=must_be_new)

    def read_link(self, base: str | bytes) -> bytes:
        return _to_link_target(os.readlink(self._join(base)))

    def make_link(self, base: str | bytes, target: bytes) -> None:
        """Raises `OSError` with ENOTSUP unless the user may make links, which Windows allows to few."""
        path, text = self._join(base), os.fsdecode(target)
        if not any(is_reserved_by_windows(part) for part in text.split("/") if part not in (".", "..")):
            with suppress(OSError):
                os.symlink(text.replace("/", "\\"), path)
        if not os.path.islink(path):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), path)

    def delete_file(self, base: str | bytes) -> None:
        path = self._join(base)
        with suppress(OSError):
            Path(path).chmod(stat.S_IWRITE)
        private_files.retry_held(lambda: os.unlink(path))

    def delete_folder(self, base: str | bytes) -> None:
        path = self._join(base)
        self._tree.forget((*self.name, os.fsdecode(base)))
        os.rmdir(path)

    def move_entry(self, base: str | bytes, folder: WindowsFolder, new_base: str | bytes) -> None:
        source, target = self._join(base), folder._join(new_base)
        if os.path.isdir(target) and not os.path.islink(target):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
        private_files.replace_path(source, target)

    def _join(self, base: str | bytes) -> str:
        text = os.fsdecode(base)
        return self.path if text == "." else os.path.join(self.path, check_base(text))


def check_base(base: str) -> str:
    """Return a name of one path component; raises `OSError` for one that Windows would take for something else."""
    if not base or base == ".." or "/" in base or "\0" in base or is_reserved_by_windows(base):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), base)
    return base


def _read_status(path: str) -> os.stat_result:
    """Return the status of the entry itself; that of a junction as of a link."""
    found = os.lstat(path)
    if getattr(found, "st_reparse_tag", 0) not in _LINK_TAGS or stat.S_ISLNK(found.st_mode):
        return found
    values = list(found)
    values[0] = stat.S_IFLNK | 0o777
    return os.stat_result(values)


def _to_link_target(target: str) -> bytes:
    """Return a target as other systems write it, so that an absolute one begins with a slash."""
    text = target.removeprefix("\\\\?\\").replace("\\", "/")
    return os.fsencode(f"/{text}" if os.path.splitdrive(text)[0] and not text.startswith("/") else text)


class WindowsFileTree:
    """Implements `gpurent.ports.local_files.FileTree`; the folders that were used last stay open."""

    def __init__(self, root: str) -> None:
        self._lock = threading.RLock()
        self.git_modes = file_modes.GitModes()
        self._root = WindowsFolder(self, (), root)
        self._folders: OrderedDict[tuple[str, ...], WindowsFolder] = OrderedDict()

    @property
    def path(self) -> bytes:
        return os.fsencode(_to_usual_path(self._root.path))

    def open_folder(self, name: Name, *, create: bool = False, mode: int = 0o755) -> WindowsFolder:
        with self._lock:
            folder = self._find_folder(tuple(map(os.fsdecode, name)), create)
            folder.users += 1
            if len(self._folders) > _MAX_OPEN_FOLDERS:
                self._close_unused()
        return folder

    def _find_folder(self, name: tuple[str, ...], create: bool) -> WindowsFolder:
        if not name:
            return self._root
        found = self._folders.get(name)
        if found is None:
            above = self._find_folder(name[:-1], create)
            path = os.path.join(above.path, check_base(name[-1]))
            if create:
                with suppress(FileExistsError):
                    os.mkdir(path)
            found = self._folders[name] = WindowsFolder(self, name, path)
        else:
            self._folders.move_to_end(name)
        return found

    def give_back(self, folder: WindowsFolder) -> None:
        with self._lock:
            folder.users -= 1

    def forget(self, name: tuple[str, ...]) -> None:
        """Close a folder that is about to be deleted, and those below it."""
        with self._lock:
            for known in [known for known in self._folders if known[: len(name)] == name]:
                self._folders.pop(known).close()

    def _close_unused(self) -> None:
        """Close folders from the oldest on; those above an open one stay, since they hold its path."""
        extra = len(self._folders) - _MAX_OPEN_FOLDERS
        used = {
            name[:end]
            for name, folder in self._folders.items()
            if folder.users
            for end in range(1, len(name) + 1)
        }
        unused = [name for name in self._folders if name not in used]
        for name in sorted(unused[:extra], key=len, reverse=True):
            if not any(other[: len(name)] == name and other != name for other in self._folders):
                self._folders.pop(name).close()

    def measure_free_bytes(self) -> int:
        return shutil.disk_usage(self._root.path).free

    def read_at(self, file: int, size: int, at: int) -> bytes:
        with _position_lock:
            os.lseek(file, at, os.SEEK_SET)
            return os.read(file, size)

    def write_at(self, file: int, data: memoryview, at: int) -> None:
        with _position_lock:
            os.lseek(file, at, os.SEEK_SET)
            while data:
                data = data[os.write(file, data) :]

    def set_status(self, file: int, mode: int, time: int) -> None:
        """Set the mtime; of the mode, Windows has nothing that an access list does not say better."""
        api.set_file_time(file, time)

    def count_stored_bytes(self, status: os.stat_result) -> int:
        return status.st_size

    def close(self) -> None:
        with self._lock:
            for folder in (*self._folders.values(), self._root):
                folder.close()
            self._folders.clear()


class WindowsFiles:
    """Implements `gpurent.ports.local_files.LocalFiles`."""

    def open_tree(self, root: Path, below: Name = (), *, create: bool = False) -> WindowsFileTree:
        if create:
            root.mkdir(parents=True, exist_ok=True)
        tree = WindowsFileTree(_to_long_path(os.path.realpath(root)))
        if not below:
            return tree
        try:
            folder = tree.open_folder(below, create=create)
            return WindowsFileTree(folder.path)
        finally:
            tree.close()


def _to_long_path(path: str) -> str:
    r"""Return an absolute path in the form in which it may be longer than 260 characters."""
    if path.startswith("\\\\?\\") or os.sep != "\\":
        return path
    return f"\\\\?\\UNC\\{path[2:]}" if path.startswith("\\\\") else f"\\\\?\\{path}"


def _to_usual_path(path: str) -> str:
    text = path.removeprefix("\\\\?\\")
    return f"\\\\{text[4:]}" if text.startswith("UNC\\") else text
