"""What no upload takes along by accident: credentials and gpurent's own folders, for core and for every backend."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from gpurent.domain.credential_names import CREDENTIAL_NAMES
from gpurent.locale import N_, _

IGNORE_FILES = (".gitignore", ".gpurentignore")  # the later one decides
CREDENTIAL_REASON = N_("may hold credentials; to upload it anyway, name it explicitly")
OWN_FOLDER_REASON = N_("belongs to gpurent itself")
WITHHELD_REASON = N_("its variables are handed to the job; the file is not uploaded")


def is_ignore_file(name: bytes) -> bool:
    """Return whether ``name`` is, on any file system, a file that decides what later uploads send."""
    return name.decode("utf-8", "replace").casefold() in IGNORE_FILES


def is_credential_name(name: str, parent: str) -> bool:
    """Return whether ``name``, in a folder called ``parent``, holds credentials."""
    return CREDENTIAL_NAMES.get(name) in ("", parent)


def is_settings_secret(name: str) -> bool:
    """Return whether ``name`` is one of the ``.env`` files, which jobs need and which often hold secrets."""
    return name == ".env" or name.startswith(".env.")


def exclusion_reason(path: str, own_folders: Collection[str]) -> str:
    """Return why the local file or folder ``path``, found below an uploaded folder, is left out; empty if it is not.

    ``own_folders``: the real paths of gpurent's own folders, and of files that are withheld.
    """
    parent, name = os.path.split(path)
    if name in CREDENTIAL_NAMES and is_credential_name(name, parent.rpartition(os.sep)[2]):
        return _(CREDENTIAL_REASON)
    if own_folders and os.path.realpath(path) in own_folders:
        return _(OWN_FOLDER_REASON) if Path(path).is_dir() else _(WITHHELD_REASON)
    return ""
