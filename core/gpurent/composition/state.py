"""The state on disk: enough for listings. No prompts, no plugins built, no event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from gpurent.domain.provider_names import get_base_name
from gpurent.errors import GpurentError
from gpurent.infra.backup.staged_restore import finish_restore
from gpurent.infra.clock import make_clock
from gpurent.infra.lease_copies import make_lease_copy_files
from gpurent.infra.outside_records import make_outside_records
from gpurent.infra.platform.system import check_parent_folders, make_private_folder
from gpurent.infra.service_clocks import ServiceClocks
from gpurent.infra.sqlite.database import list_ids
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.workflow.manual.owner import ManualLeases
from gpurent.workflow.runtime import accounts, events, lease_copier, leases, plugins, settings, volumes
from gpurent.workflow.runtime.lost_leases import add_lost_leases
from gpurent.workflow.timing import lease_outlooks, machine_timer, time_left

if TYPE_CHECKING:
    from gpurent.infra.recording.recorder import ExchangeRecorder
    from gpurent.infra.registry.registry import EntryPointRegistry
    from gpurent.infra.service_sources import SandboxCheck
    from gpurent.ports.connection import Connector
    from gpurent.ports.services import Http
    from gpurent.ports.system import ProviderClock
    from gpurent.roles.entries import PluginEntry
    from gpurent.roles.lease import LeaseProvider
    from gpurent.roles.plugin_context import PluginContext
    from gpurent.workflow.timing.overall_status import StatusReader


@frozen(kw_only=True, eq=False)
class ExternalDependencies:
    """What lies outside this process, or replacements for it: other clocks, machines, networks.

    ``clock`` None: as the environment names it. ``connector`` None: SSH. ``open_store(path, now, command)`` opens the
    state; ``command`` is what the user typed, without its arguments.
    ``wrap_http(client, url)`` returns what a plugin gets in place of ``client`` for ``url``. ``is_recorded`` false: the
    work goes on where the state on disk cannot be read or written, and nothing of it is recorded.
    ``is_sandbox_service`` None: what a sandbox's own handle proves. ``recorder``: records the requests of plugins.
    """

    clock: ProviderClock | None = None
    connector: Connector | None = None
    open_store: Callable[[Path, Callable[[], datetime], str], SqliteStore] = SqliteStore
    command: str = "gpurent"
    wrap_http: Callable[[Http, str], Http] = lambda client, _url: client
    is_recorded: bool = True
    is_sandbox_service: SandboxCheck | None = None
    recorder: ExchangeRecorder | None = None


DEFAULT_DEPENDENCIES = ExternalDependencies()


def make_unrecorded(outside: ExternalDependencies = DEFAULT_DEPENDENCIES) -> ExternalDependencies:
    """Return ``outside`` for work on what can be read of the state, of which nothing is recorded."""
    return evolve(outside, open_store=SqliteStore.open_in_memory, is_recorded=False)


# Sections of core's own in which a key was renamed.
_CORE_VARIABLES = ("GPURENT_NOTIFY_", "GPURENT_RATES_")
_LIMIT_VARIABLES = ("GPURENT_BUDGET", "GPURENT_GUARD")


def _check_core_environment(environment: Mapping[str, str]) -> None:
    from gpurent.domain.config_sections import CORE_SECTIONS

    for section in CORE_SECTIONS:
        for key in section.keys:
            settings.reject_former_names(environment, section.name, key)


class StoredState:
    """The Store, the settings, and the parts that only read them."""

    def __init__(
        self,
        registry: EntryPointRegistry,
        home: Path,
        environment: Mapping[str, str],
        outside: ExternalDependencies = DEFAULT_DEPENDENCIES,
    ) -> None:
        self.registry = registry.with_accounts(())
        self.outside = outside
        check_parent_folders(home)
        self.home = make_private_folder(home)
        finish_restore(self.home)
        self.clock: ProviderClock = outside.clock or make_clock(environment.get("GPURENT_CLOCK", ""))
        self.lease_copies = make_lease_copy_files(self.home, environment)
        self.outside_records = make_outside_records(self.home, environment, is_recorded=outside.is_recorded)
        self.store = self._open_store(outside)
        if any(name.startswith(_CORE_VARIABLES) for name in environment):
            _check_core_environment(environment)
        if any(name.startswith(_LIMIT_VARIABLES) for name in environment):
            from gpurent.composition.limit_variables import check_limit_variables

            check_limit_variables(environment)
        self.settings = settings.Settings(self.home, environment, self.read_settings())
        self.events = events.EventEmitter(self.clock)
        self.service_clocks = ServiceClocks(self.clock, self._warn)
        by_hand = ManualLeases(self.clock, self._make_manual_provider)
        self.plugins = plugins.Plugins(self.registry, self._make_context, [by_hand], self._warn)
        self.accounts = accounts.KnownAccounts(self.store, self.registry)
        self.lease_copier = lease_copier.LeaseCopier(self.store, self.lease_copies, self.events)
        self.leases = leases.LeaseTracker(
            self.store, self.plugins, self.events, self.service_clocks, self.lease_copier
        )
        self.volumes = volumes.VolumeTracker(self.store, self.plugins, self.service_clocks)
        self.last_seen = time_left.LastSeenTimeReader(self.store, self.plugins, self.service_clocks)
        self.time_warnings = time_left.TimeWarnings(self.store, self.settings, self.events)
        self.machine_timers = machine_timer.MachineTimers(self.plugins, self.store, self.service_clocks)
        self.lease_outlooks = lease_outlooks.LeaseOutlooks(
            self.store, self.settings, self.machine_timers, self.service_clocks
        )

    @cached_property
    def status_reader(self) -> StatusReader:
        from gpurent.workflow.timing.overall_status import StatusReader  # lazy: a listing of leases is faster

        return StatusReader(self.store, self.settings, self.registry, self.clock)

    def _open_store(self, outside: ExternalDependencies) -> SqliteStore:
        """Open the Store; if it cannot be used, the error names the leases that may still cost money."""
        try:
            return outside.open_store(self.home / "journal.sqlite", self.clock.now, outside.command)
        except GpurentError as error:
            add_lost_leases(error, self.lease_copies.list_copies())
            raise

    def _warn(self, text: str) -> None:
        from gpurent.domain.events import EventKind  # lazy: a listing warns of nothing

        self.events.emit(EventKind.WARNING, text)

    def _make_context(self, entry: PluginEntry[Any], auth: str) -> PluginContext:
        raise LookupError("a listing builds no plugin")

    def _make_manual_provider(self) -> LeaseProvider:
        raise LookupError("a listing moves no lease")

    def read_settings(self) -> Mapping[str, Mapping[str, str]]:
        """Read ``config.toml`` as it is now; raises `UsageError` for errors in it."""
        return read_settings(self.registry, self.home)


def read_settings(registry: EntryPointRegistry, home: Path) -> Mapping[str, Mapping[str, str]]:
    """Read ``config.toml`` in the data folder ``home``; raises `UsageError` for errors in it."""
    path = home / "config.toml"
    if not path.exists():
        return {}
    from gpurent.composition.config_sections import declared_sections
    from gpurent.infra.config.config_access import protect_config
    from gpurent.infra.config.config_file import read_config
    from gpurent.infra.config.config_migration import migrate_config

    declared = declared_sections(registry)
    migrate_config(path, declared)
    found = read_config(path, lambda: declared, make_part_names(registry, home))
    secret_keys = {(section.name, key.name) for section in declared for key in section.keys if key.is_secret}
    has_secrets = any(
        (get_base_name(name), key) in secret_keys for name, values in found.items() for key in values
    )
    protect_config(path, has_secrets=has_secrets)
    return found


def make_part_names(registry: EntryPointRegistry, home: Path) -> Callable[[str], Sequence[str]]:
    """Return what gives the names that a subsection may have: of a "provider", a "lease" or a "trip"."""

    def list_names(kind: str) -> Sequence[str]:
        if kind == "provider":
            return registry.list_names("lease")
        return list_ids(home / "journal.sqlite", f"{kind}s")

    return list_names
