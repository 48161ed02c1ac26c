"""The error for one of gpurent's own files."""

from __future__ import annotations

from pathlib import Path

from gpurent.errors import StorageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error


def make_storage_error(path: Path, error: OSError) -> StorageError:
    """Return the error for ``path``, one of gpurent's own files, which cannot be read or written."""
    return StorageError(
        _("{path} cannot be used: {why}").format(path=path, why=describe_error(error)),
        hint=_(
            "Make room on the disk, make gpurent's data folder writable, or set GPURENT_HOME to another folder."
        ),
    )
