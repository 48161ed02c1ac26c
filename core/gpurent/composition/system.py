"""What the command line needs of this computer besides an application. Each function imports only what it uses."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from types import ModuleType

    from gpurent.infra.registry.history import PluginHistory
    from gpurent.infra.registry.origins import PluginOrigin
    from gpurent.infra.registry.registry import EntryPointRegistry as EntryPointRegistry

T = TypeVar("T")


def data_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the state: ``GPURENT_HOME``, else the platform's data folder.

    ``environment``: by default that of this process.
    """
    home = (os.environ if environment is None else environment).get("GPURENT_HOME", "")
    return Path(home) if home else default_data_folder()


def default_data_folder() -> Path:
    """Return the platform's data folder; the sandbox is in it too."""
    from platformdirs import user_data_path

    return user_data_path("gpurent", appauthor=False)


def find_system_language() -> str:
    """Return the language of the system's own windows, ``zh`` or ``en``; empty where the environment says it."""
    from gpurent.infra.platform.language import find_system_language

    return find_system_language()


SAFE_VARIABLE = "GPURENT_SAFE"


def load_registry(builtin: Iterable[ModuleType]) -> EntryPointRegistry:
    """Load the entries of the ``builtin`` modules, of core's others, and of every installed plugin.

    With `SAFE_VARIABLE` in the environment, only of the plugins that were released with this gpurent.
    """
    from gpurent.infra.registry import builtin_entries
    from gpurent.infra.registry.registry import EntryPointRegistry

    every = [*builtin, builtin_entries]
    if not os.environ.get(SAFE_VARIABLE):
        return EntryPointRegistry.load(builtin=every)
    from gpurent.infra.registry.origins import is_released_here

    return EntryPointRegistry.load(builtin=every, is_wanted=is_released_here)


def _open_plugin_history() -> PluginHistory:
    from gpurent.infra.outside_records import make_outside_records
    from gpurent.infra.registry.history import PluginHistory

    return PluginHistory(make_outside_records(data_folder(), os.environ))


def take_plugin_changes(registry: EntryPointRegistry) -> list[str]:
    """Return what to tell about plugins that have changed since the last command here; each is told once."""
    return [change.text for change in _open_plugin_history().take_changes(registry.list_origins())]


def list_first_origins() -> Mapping[str, PluginOrigin]:
    """Return where each distribution's plugins came from at their first use in this data folder."""
    return _open_plugin_history().list_first()


def run_without_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``, which only reads the embedded Store and so never waits: importing asyncio takes longer."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    work.close()
    raise RuntimeError("this work waits for something, so it needs an event loop")


async def list_living_leases() -> list[str]:
    """Return the IDs of the leases that may cost money, as far as the state on disk can be read, oldest first.

    Those on which another process executes a trip are left out: whoever is told of them would release them.
    """
    from gpurent.infra.clock import WallClock
    from gpurent.infra.lease_copies import make_lease_copy_files
    from gpurent.infra.sqlite.store import SqliteStore

    path = data_folder() / "journal.sqlite"
    if not path.parent.is_dir():
        return []
    store = SqliteStore.open_in_memory(path, WallClock().now)
    try:
        known = [lease.id for lease in await store.list_open_leases() if lease.has_cost]
        owners = {trip.lease: await store.find_lock_owner(trip.id) for trip in await store.list_open_trips()}
    finally:
        store.close()
    copies = make_lease_copy_files(path.parent, os.environ).list_copies()
    names = dict.fromkeys([*known, *(copy.lease for copy in copies)])
    in_use = {name for name, owner in owners.items() if owner is not None and owner.process != os.getpid()}
    return [name for name in names if name not in in_use]


def list_accounts() -> list[str]:
    """Return the logins of the accounts beside the first one of each provider, such as ``vast@lab``."""
    from gpurent.infra.sqlite import database

    return database.list_ids(data_folder() / "journal.sqlite", "accounts")


def list_job_secrets() -> list[str]:
    """Return the names of the secrets for jobs in the vault, which are not encrypted."""
    from gpurent.infra.vault.container import VaultContainer
    from gpurent.workflow.connection.job_variables import JOB_SCOPE

    folder = data_folder() / "vault"
    if not folder.is_dir():
        return []
    prefix = f"{JOB_SCOPE}/"
    records = VaultContainer(folder).read().get("records", {})
    return sorted(name.removeprefix(prefix) for name in records if name.startswith(prefix))


MAX_RECENT_IDS = 50


def list_recent_ids(table: str) -> list[str]:
    """Return the IDs of the most recently changed "leases" or the most recently begun "trips", newest first."""
    from gpurent.infra.sqlite import database

    return database.list_ids(data_folder() / "journal.sqlite", table, limit=MAX_RECENT_IDS)
