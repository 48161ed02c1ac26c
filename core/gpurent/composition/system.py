"""What the command line needs of this computer besides an application. Each function loads only what it uses."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from gpurent.infra.registry.registry import EntryPointRegistry as EntryPointRegistry


def data_folder() -> Path:
    """Where the state is kept: ``GPURENT_HOME``, else the platform's data folder."""
    home = os.environ.get("GPURENT_HOME", "")
    if home:
        return Path(home)
    from platformdirs import user_data_path

    return user_data_path("gpurent")


def load_registry(builtin: Iterable[ModuleType]) -> EntryPointRegistry:
    """The entries of ``builtin`` modules, core's other ones, and those of every installed plugin."""
    from gpurent.infra.registry import builtin_entries
    from gpurent.infra.registry.registry import EntryPointRegistry

    return EntryPointRegistry.load(builtin=[*builtin, builtin_entries])


def list_recent_ids(table: str) -> list[str]:
    """Of "leases" the ids that changed last, of "trips" those that were begun last, newest first."""
    from gpurent.infra.sqlite import database

    return database.list_recent_ids(data_folder() / "journal.sqlite", table)
