"""Leases for the user's other programs: written down, put into their places by consent, removed at the end."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import evolve, frozen

from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import OVER, Lease, LeaseState
from gpurent.domain.question import Question, QuestionKind
from gpurent.errors import GpurentError, LeaseError, UsageError
from gpurent.locale import _
from gpurent.ports.connection import Connector
from gpurent.ports.services import SecretStore
from gpurent.roles.entries import ExporterEntry
from gpurent.roles.exporter import FOLDER, Export, Exported, Exporter, SupportsInstall, SupportsOpen
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.leases import LeaseTracker, not_running
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.settings import Settings

_OVER = {state.value for state in OVER}


def alias_of(lease_id: str) -> str:
    """The lease's name in other programs: small letters, digits, dots, dashes, and never the name of a real host."""
    return f"gpurent-{re.sub(r'[^a-z0-9._-]', '-', lease_id.lower())}"[:60]


@frozen
class LeaseProfiles:
    """Each machine is visited first: its host key is pinned, our key installed, its home known."""

    connections: Connections
    connector: Connector
    secrets: SecretStore

    async def describe(self, lease_id: str, *, passwords: bool = False) -> Exported:
        """One running machine; with its password where that is wanted and known."""
        async with self.connections.visit_lease(lease_id) as connection:
            ran = await connection.do(lambda ssh: ssh.run("pwd"))
            lease = connection.lease
        # What the machine's own start files print comes before it.
        home = ran.out.strip().rpartition("\n")[2]
        return self._exported(lease, home if re.fullmatch(FOLDER, home) else "", passwords)

    async def describe_reachable(self, leases: Sequence[Lease], *, passwords: bool = False) -> list[Exported]:
        """Those that can be reached; the others are reported. None of them: the last one's error."""
        found: list[Exported] = []
        failed = None
        for lease in leases:
            try:
                found.append(await self.describe(lease.id, passwords=passwords))
            except GpurentError as error:
                failed = error
                self.connections.events.emit(
                    EventKind.WARNING, f"{lease.id}: {error.message}", lease=lease.id
                )
        if failed is not None and not found:
            raise failed
        return found

    def _exported(self, lease: Lease, folder: str, passwords: bool) -> Exported:
        pinned = self.connector.pinned(lease.id, lease.endpoint) if lease.endpoint else None
        if lease.endpoint is None or pinned is None:
            raise not_running(lease)
        host_key, fingerprint = pinned
        key_file, _hosts = self.connector.files(lease.id)
        password = None
        if passwords and lease.password_ref:
            password = self.secrets.scoped(lease.provider).get(lease.password_ref)
        return Exported(
            name=alias_of(lease.id),
            endpoint=lease.endpoint,
            key_file=key_file,
            known_hosts=self.connector.write_alias(lease.id, alias_of(lease.id), host_key),
            host_key=host_key,
            fingerprint=fingerprint,
            folder=folder,
            password=password,
        )


@frozen(kw_only=True)
class Written:
    """``done`` says what was put into the user's own files, one line each."""

    leases: tuple[str, ...]
    export: Export
    done: tuple[str, ...] = ()


@frozen
class Exports:
    plugins: Plugins
    leases: LeaseTracker
    profiles: LeaseProfiles
    settings: Settings
    questions: Questions

    async def write(
        self, name: str, given: Sequence[str], *, passwords: bool = False, install: bool = False
    ) -> Written:
        """The named leases, or all that run, as the program ``name`` reads them.

        ``install``: they are also put into its own place.
        """
        exporter = self._exporter(name)
        place = _place_of(name, exporter) if install else None
        ready = await self._describe(given, passwords)
        export = exporter.export(ready)
        done: Sequence[str] = ()
        if place is not None:
            done = place.install([evolve(lease, password=None) for lease in ready], self.settings.user_home)
        return Written(leases=tuple(lease.name for lease in ready), export=export, done=tuple(done))

    def remove(self, name: str, given: Sequence[str]) -> Sequence[str]:
        """Take the leases (none named: all) out of the place of the program ``name``; what was done."""
        place, home = _place_of(name, self._exporter(name)), self.settings.user_home
        names = [alias_of(self.leases.find_lease(lease).id) for lease in given]
        return place.uninstall(names or list(place.installed(home)), home)

    async def prepare_open(self, name: str, given: str) -> tuple[Exported, SupportsOpen]:
        """The program ``name``, ready to be started on a lease; its entry is installed if it has a place for one."""
        exporter = self._exporter(name)
        if not isinstance(exporter, SupportsOpen):
            raise UsageError(_("{name} cannot be started from here").format(name=name))
        exported = await self.profiles.describe(self.leases.find_lease(given).id)
        if isinstance(exporter, SupportsInstall):
            await self._require_consent(name, given, exporter, exported)
            exporter.install([exported], self.settings.user_home)
        return exported, exporter

    def page(self, given: str) -> str:
        """The provider's page, empty if it has none."""
        entry = self.plugins.provider_entry(self.leases.find_lease(given).provider)
        return self.settings.declared(entry.name, entry.settings).get("url", "")

    async def _describe(self, given: Sequence[str], passwords: bool) -> list[Exported]:
        if not given:
            running = [lease for lease in self.leases.list_leases() if lease.state is LeaseState.READY]
            if not running:
                raise LeaseError(_("no lease is running"), hint=_("See: gpurent ls --all"))
            return await self.profiles.describe_reachable(running, passwords=passwords)
        leases = [self.leases.find_lease(name) for name in given]
        return [await self.profiles.describe(lease.id, passwords=passwords) for lease in leases]

    async def _require_consent(
        self, name: str, given: str, place: SupportsInstall, exported: Exported
    ) -> None:
        """Before anything is written to a place that does not know the lease yet."""
        home = self.settings.user_home
        if exported.name in place.installed(home):
            return
        question = Question(
            id=f"export:{name}:{exported.name}",
            kind=QuestionKind.CHOICE,
            text=_("May {name} be told of {lease} in its own settings below {home}?").format(
                name=name, lease=exported.name, home=home
            ),
        )
        if not await self.questions.confirm(question):
            raise UsageError(
                _("{name} does not know {lease} yet").format(name=name, lease=exported.name),
                hint=_(
                    "Agree with: gpurent --yes open …, or: gpurent export {name} {lease} --install"
                ).format(name=name, lease=given),
            )

    def _exporter(self, name: str) -> Exporter:
        return self.plugins.build(self.plugins.registry.entry(ExporterEntry, name))


@frozen
class ExportCleanup:
    """Takes a lease that is over out of every program's place."""

    plugins: Plugins
    settings: Settings
    events: EventEmitter

    def on_event(self, event: Event) -> None:
        """An `EventSubscriber`. Trouble is reported; it must not touch the lease."""
        if event.kind is not EventKind.LEASE_CHANGED or event.data.get("state") not in _OVER:
            return
        alias, home = alias_of(event.lease), self.settings.user_home
        for name, entry in self.plugins.registry.entries(ExporterEntry).items():
            try:
                exporter = self.plugins.build(entry)
                if isinstance(exporter, SupportsInstall) and alias in exporter.installed(home):
                    exporter.uninstall([alias], home)
            except Exception as error:  # noqa: BLE001 - whatever a plugin does, the lease is over
                self.events.emit(
                    EventKind.WARNING,
                    _("{name} may still know of {lease}: {why}").format(
                        name=name, lease=event.lease, why=error
                    ),
                    lease=event.lease,
                )


def _place_of(name: str, exporter: object) -> SupportsInstall:
    if not isinstance(exporter, SupportsInstall):
        raise UsageError(
            _("{name} has no place of its own to install to").format(name=name),
            hint=_("Without --install it is written to a file or printed."),
        )
    return exporter
