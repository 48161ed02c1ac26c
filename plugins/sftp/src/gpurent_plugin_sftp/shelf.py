"""The near side's disk in a pull: all writing goes through open folders, and never through a link."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from types import TracebackType

from gpurent.api import TransferError, shown
from gpurent_plugin_sftp.walk import Far, Name

PARTS = ".gpurent-part"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def failed(name: str, error: OSError) -> TransferError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransferError(
            "the disk of this computer is full", hint="Free some space, then pull again; it goes on."
        )
    return TransferError(f"{shown(name)} cannot be written here: {error.strerror}")


class Shelf:
    """Below one open folder."""

    def __init__(self, target: Path) -> None:
        try:
            target.mkdir(parents=True, exist_ok=True)
            self._root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise failed(str(target), error) from None

    def __enter__(self) -> Shelf:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The room for partials goes when it is empty."""
        with contextlib.suppress(OSError):
            os.rmdir(PARTS, dir_fd=self._root)
        os.close(self._root)

    def folder(self, name: Name) -> int:
        """An open handle of the folder ``name`` below the root, made if missing; a link in its way is refused."""
        here = os.dup(self._root)
        try:
            for part in name:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=here)
                below = os.open(part, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
        except OSError as error:
            os.close(here)
            why = (
                "a link or a file is in the way"
                if error.errno in (errno.ELOOP, errno.ENOTDIR)
                else error.strerror
            )
            raise TransferError(f"{shown('/'.join(name))} cannot be written here: {why}") from None
        return here

    def same(self, far: Far, folder: int) -> bool:
        """Whether the file lies here already."""
        here = _lstat(far.name[-1], folder)
        if here is None or not stat.S_ISREG(here.st_mode):
            return False
        return (here.st_size, int(here.st_mtime)) == (far.size, far.mtime)

    def settle(self, far: Far, parts: int, folder: int) -> None:
        """The partial is complete: it gets its name."""
        handle = os.open(far.part, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parts)
        try:
            os.fchmod(handle, far.mode | 0o600)
            os.utime(handle, (far.mtime, far.mtime))
        finally:
            os.close(handle)
        os.rename(far.part, far.name[-1], src_dir_fd=parts, dst_dir_fd=folder)

    def link(self, name: Name, target: str) -> bool:
        """A symbolic link in place of a file, a link or nothing; false where a folder has its name."""
        parts, folder = self.folder((PARTS,)), self.folder(name[:-1])
        part = f"l{os.getpid()}"
        try:
            here = _lstat(name[-1], folder)
            if here is not None and stat.S_ISDIR(here.st_mode):
                return False
            if (
                here is None
                or not stat.S_ISLNK(here.st_mode)
                or os.readlink(name[-1], dir_fd=folder) != target
            ):
                os.symlink(target, part, dir_fd=parts)
                os.rename(part, name[-1], src_dir_fd=parts, dst_dir_fd=folder)
            return True
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=parts)
            raise failed("/".join(name), error) from None
        finally:
            os.close(folder)
            os.close(parts)


def _lstat(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
