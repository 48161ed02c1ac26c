"""Connection profiles for the user's other programs: exported, installed with consent, removed when the lease ends."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import evolve, frozen

from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import OVER_STATES, Lease, LeaseState
from gpurent.domain.question import Question, QuestionKind
from gpurent.errors import GpurentError, LeaseError, UsageError
from gpurent.locale import _
from gpurent.ports.connection import Connector
from gpurent.ports.services import SecretStore
from gpurent.roles.entries import ExporterEntry
from gpurent.roles.exporter import (
    FOLDER_PATTERN,
    Export,
    ExportedLease,
    Exporter,
    SupportsInstall,
    SupportsOpen,
)
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.leases import LeaseTracker, not_running_error
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.settings import Settings

_OVER_STATES = {state.value for state in OVER_STATES}


def lease_alias(lease_id: str) -> str:
    """Return the lease's host alias in other programs: lowercase letters, digits, dots, underscores and dashes.

    The prefix ``gpurent-`` keeps it from shadowing a real host name.
    """
    return f"gpurent-{re.sub(r'[^a-z0-9._-]', '-', lease_id.lower())}"[:60]


@frozen
class LeaseProfiles:
    """Builds connection profiles of leases.

    Connects to each machine first, to pin its host key, install our key and find its home folder.
    """

    connections: Connections
    connector: Connector
    secrets: SecretStore

    async def describe_lease(self, lease_id: str, *, passwords: bool = False) -> ExportedLease:
        """Return the profile of one running machine, including its password if ``passwords`` is set and it is known."""
        async with self.connections.connect_to_lease(lease_id) as connection:
            ran = await connection.run_with_retry(lambda ssh: ssh.run("pwd"))
            lease = await connection.get_lease()
        # The machine's start files may print lines before it.
        home = ran.stdout.strip().rpartition("\n")[2]
        return self._make_exported_lease(lease, home if re.fullmatch(FOLDER_PATTERN, home) else "", passwords)

    async def describe_reachable(
        self, leases: Sequence[Lease], *, passwords: bool = False
    ) -> list[ExportedLease]:
        """Return the profiles of the leases that can be reached, and emit a warning for each of the others.

        Raises the last error if none can be reached.
        """
        found: list[ExportedLease] = []
        failed = None
        for lease in leases:
            try:
                found.append(await self.describe_lease(lease.id, passwords=passwords))
            except GpurentError as error:
                failed = error
                self.connections.events.emit(
                    EventKind.WARNING, f"{lease.id}: {error.message}", lease=lease.id
                )
        if failed is not None and not found:
            raise failed
        return found

    def _make_exported_lease(self, lease: Lease, folder: str, passwords: bool) -> ExportedLease:
        pinned = self.connector.find_pinned_host_key(lease.id, lease.endpoint) if lease.endpoint else None
        if lease.endpoint is None or pinned is None:
            raise not_running_error(lease)
        key_file, _hosts = self.connector.get_ssh_files(lease.id)
        password = None
        if passwords and lease.password_ref:
            password = self.secrets.get_vault(lease.provider).get(lease.password_ref)
        return ExportedLease(
            name=lease_alias(lease.id),
            endpoint=lease.endpoint,
            key_file=key_file,
            known_hosts=self.connector.write_known_hosts_alias(lease.id, lease_alias(lease.id), pinned.line),
            host_key=pinned.line,
            fingerprint=pinned.fingerprint,
            folder=folder,
            password=password,
        )


@frozen(kw_only=True)
class ExportResult:
    """The outcome of an export. ``changes`` lists what was written to the user's own files, one line each."""

    leases: tuple[str, ...]
    export: Export
    changes: tuple[str, ...] = ()


@frozen
class Exports:
    plugins: Plugins
    leases: LeaseTracker
    profiles: LeaseProfiles
    settings: Settings
    questions: Questions

    async def export_leases(
        self, name: str, lease_ids: Sequence[str], *, passwords: bool = False, install: bool = False
    ) -> ExportResult:
        """Export the named leases (or all running ones) in the format of the program ``name``.

        With ``install``, also write them to that program's own settings.
        """
        exporter = self._build_exporter(name)
        place = _require_installer(name, exporter) if install else None
        ready = await self._describe_leases(lease_ids, passwords)
        export = exporter.export_leases(ready)
        done: Sequence[str] = ()
        if place is not None:
            done = place.install_leases(
                [evolve(lease, password=None) for lease in ready], self.settings.user_home
            )
        return ExportResult(leases=tuple(lease.name for lease in ready), export=export, changes=tuple(done))

    async def uninstall_leases(self, name: str, lease_ids: Sequence[str]) -> Sequence[str]:
        """Remove the leases (none named: all) from the settings of the program ``name``; return the changes made."""
        place, home = _require_installer(name, self._build_exporter(name)), self.settings.user_home
        names = [lease_alias((await self.leases.get_lease(lease)).id) for lease in lease_ids]
        return place.uninstall_leases(names or list(place.list_installed(home)), home)

    async def prepare_program(self, name: str, lease_id: str) -> tuple[ExportedLease, SupportsOpen]:
        """Return what is needed to start the program ``name`` on a lease; install the profile first if supported."""
        exporter = self._build_exporter(name)
        if not isinstance(exporter, SupportsOpen):
            raise UsageError(_("gpurent cannot open {name}").format(name=name))
        exported = await self.profiles.describe_lease((await self.leases.get_lease(lease_id)).id)
        if isinstance(exporter, SupportsInstall):
            await self._require_consent(name, lease_id, exporter, exported)
            exporter.install_leases([exported], self.settings.user_home)
        return exported, exporter

    async def get_page_url(self, lease_id: str) -> str:
        """Return the URL of the provider's website, or an empty string."""
        entry = self.plugins.provider_entry((await self.leases.get_lease(lease_id)).provider)
        return self.settings.get_plugin_settings(entry.name, entry.settings).get("url", "")

    async def _describe_leases(self, lease_ids: Sequence[str], passwords: bool) -> list[ExportedLease]:
        if not lease_ids:
            running = [lease for lease in await self.leases.list_leases() if lease.state is LeaseState.READY]
            if not running:
                raise LeaseError(_("no lease is running"), hint=_("See: gpurent ls --all"))
            return await self.profiles.describe_reachable(running, passwords=passwords)
        leases = [await self.leases.get_lease(name) for name in lease_ids]
        return [await self.profiles.describe_lease(lease.id, passwords=passwords) for lease in leases]

    async def _require_consent(
        self, name: str, lease_id: str, place: SupportsInstall, exported: ExportedLease
    ) -> None:
        """Ask the user before writing to a program's settings that do not contain the lease yet."""
        home = self.settings.user_home
        if exported.name in place.list_installed(home):
            return
        question = Question(
            id=f"export:{name}:{exported.name}",
            kind=QuestionKind.CHOICE,
            text=_("Add {lease} to the settings of {name} in {home}?").format(
                name=name, lease=exported.name, home=home
            ),
        )
        if not await self.questions.confirm(question):
            raise UsageError(
                _("{lease} is not in the settings of {name} yet").format(name=name, lease=exported.name),
                hint=_("Add it: gpurent --yes open …, or: gpurent export {name} {lease} --install").format(
                    name=name, lease=lease_id
                ),
            )

    def _build_exporter(self, name: str) -> Exporter:
        return self.plugins.build(self.plugins.registry.get_entry(ExporterEntry, name))


@frozen
class ExportCleanup:
    """Removes the profiles of a lease from every program once the lease is over."""

    plugins: Plugins
    settings: Settings
    events: EventEmitter

    def on_event(self, event: Event) -> None:
        """Handle an event, as an `EventSubscriber`. A failure is reported and never affects the lease."""
        if event.kind is not EventKind.LEASE_CHANGED or event.data.get("state") not in _OVER_STATES:
            return
        alias, home = lease_alias(event.lease), self.settings.user_home
        for name, entry in self.plugins.registry.get_entries(ExporterEntry).items():
            try:
                exporter = self.plugins.build(entry)
                if isinstance(exporter, SupportsInstall) and alias in exporter.list_installed(home):
                    exporter.uninstall_leases([alias], home)
            except Exception as error:  # noqa: BLE001 - whatever a plugin does, the lease is over
                self.events.emit(
                    EventKind.WARNING,
                    _("{lease} may still be in the settings of {name}: {why}").format(
                        name=name, lease=event.lease, why=error
                    ),
                    lease=event.lease,
                )


def _require_installer(name: str, exporter: object) -> SupportsInstall:
    if not isinstance(exporter, SupportsInstall):
        raise UsageError(
            _("{name} has no settings that gpurent can write to").format(name=name),
            hint=_("Without --install, the export is written to a file or printed."),
        )
    return exporter
