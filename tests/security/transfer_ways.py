"""The ways in which files travel: each transfer backend, and turbo by the shell of a machine that has no Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpurent.api import TransferBackend
from gpurent.testing.local_files import LOCAL_FILES
from gpurent_plugin_sftp.backend import SftpBackend
from gpurent_plugin_turbo.backend import TurboBackend

BACKENDS: dict[str, Callable[[], TransferBackend]] = {
    "sftp": lambda: SftpBackend(LOCAL_FILES),
    "turbo": lambda: TurboBackend({}, LOCAL_FILES),
    "shell": lambda: TurboBackend({}, LOCAL_FILES),
}


def list_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
