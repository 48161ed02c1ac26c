"""Tries out what a file system does with names."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from gpurent.domain.name_policy import FileSystemRules, get_usual_rules

_COMPOSED, _DECOMPOSED = "\u00e9", "e\u0301"
# What file systems of other systems answer to a name that they cannot hold.
_NAME_ERRORS = (errno.EINVAL, errno.EIO, errno.ENOENT, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EILSEQ)


def read_file_system_rules(folder: Path) -> FileSystemRules:
    """See `gpurent.ports.system.Platform`. A temporary folder is made there and removed."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with TemporaryDirectory(prefix=".gpurent-names-", dir=folder) as made:
            return _try_names(Path(made))
    except OSError:
        return get_usual_rules(sys.platform)


def _try_names(folder: Path) -> FileSystemRules:
    (folder / "A").touch()
    (folder / _COMPOSED).touch()
    return FileSystemRules(
        ignores_case=(folder / "a").exists(),
        normalizes_unicode=(folder / _DECOMPOSED).exists(),
        windows_names=not _can_hold(folder / "a:b"),
    )


def _can_hold(path: Path) -> bool:
    try:
        path.touch()
    except OSError as error:
        if error.errno in _NAME_ERRORS:
            return False
        raise
    return True
