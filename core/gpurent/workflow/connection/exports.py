"""Leases for the user's other programs: written down, put into their places by consent, taken out at the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.secret import Secret
from gpurent.errors import GpurentError, LeaseError, Spent, UsageError
from gpurent.locale import _
from gpurent.roles.exporter import FOLDER, Export, Exported, Exporter, SupportsInstall, SupportsOpen
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.desk import Desk


@frozen(kw_only=True)
class Written:
    """``done`` says what was put into, or taken out of, the user's own files, one line each."""

    leases: tuple[str, ...]
    export: Export
    done: tuple[str, ...] = ()


def alias_of(lease_id: str) -> str:
    """The lease's name in other programs: small letters, digits, dots, dashes, and never the name of a real host."""
    return f"gpurent-{re.sub(r'[^a-z0-9._-]', '-', lease_id.lower())}"[:60]


def home_of(desk: Desk) -> Path:
    """The user's home, where other programs keep what is theirs."""
    given = desk.environment.get("HOME", "")
    return Path(given) if given else Path.home()


class Exports:
    """Bound to one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def chosen(self, given: Sequence[str]) -> list[Lease]:
        """The named leases, or, with no name, all that run."""
        found = [self._desk.lease(name) for name in given]
        if not given:
            found = [lease for lease in self._desk.journal.leases() if lease.state is LeaseState.READY]
        if not found:
            raise LeaseError(_("no lease is running"), hint=_("See: gpurent ls --all"))
        return found

    async def write(
        self, name: str, given: Sequence[str], *, passwords: bool = False, install: bool = False
    ) -> Written:
        """The leases as the program ``name`` reads them; ``install``: also put into its own place."""
        exporter: Exporter = self._desk.tool("exporter", name, Exporter)
        if install:
            self._installing(name, exporter)
        ready = await self._ready(self.chosen(given), lenient=not given, passwords=passwords)
        export = exporter.export(ready)
        done: Sequence[str] = ()
        if install:
            done = self._installing(name, exporter).install(
                [evolve(lease, password=None) for lease in ready], home_of(self._desk)
            )
        return Written(leases=tuple(lease.name for lease in ready), export=export, done=tuple(done))

    async def _ready(self, leases: Sequence[Lease], *, lenient: bool, passwords: bool) -> list[Exported]:
        """Each machine is visited: its host key is pinned, our key installed, its home known."""
        found, failed = [], None
        for lease in leases:
            try:
                found.append(await self.visit(lease.id, passwords=passwords))
            except GpurentError as error:
                if not lenient:
                    raise
                failed = error
                self._desk.tell(EventKind.WARNING, f"{lease.id}: {error.message}", lease=lease.id)
        if failed is not None and not found:
            raise failed
        return found

    async def visit(self, lease_id: str, *, passwords: bool = False) -> Exported:
        """One running machine as other programs need it."""
        line = ReconnectingConnection(self._desk, lease_id)
        try:
            await line.look()
            home = await line.do(lambda link: link.run("pwd"))
        finally:
            await line.close()
        # What the machine's own start files print comes before it.
        said = home.out.strip().rpartition("\n")[2]
        folder = said if re.fullmatch(FOLDER, said) else ""
        return self._exported(self._desk.lease(lease_id), folder, passwords)

    def _exported(self, lease: Lease, folder: str, passwords: bool) -> Exported:
        ssh, name = self._desk.ssh, alias_of(lease.id)
        pinned = ssh.pinned(lease.id, lease.endpoint) if lease.endpoint else None
        if lease.endpoint is None or pinned is None:
            raise LeaseError(
                _("{lease} is not running ({state})").format(lease=lease.id, state=lease.state.value),
                spent=Spent.NO,
            )
        key_file, _hosts = ssh.files(lease.id)
        return Exported(
            name=name,
            endpoint=lease.endpoint,
            key_file=key_file,
            known_hosts=ssh.alias(lease.id, name, pinned[0]),
            host_key=pinned[0],
            fingerprint=pinned[1],
            folder=folder,
            password=self._password(lease) if passwords else None,
        )

    def _password(self, lease: Lease) -> Secret | None:
        if not lease.password_ref:
            return None
        return self._desk.vault.scoped(lease.provider).get(lease.password_ref)

    def take_out(self, name: str, given: Sequence[str]) -> Sequence[str]:
        """Take the leases (none named: all) out of the place of the program ``name``; what was done."""
        placed = self._installing(name, self._desk.tool("exporter", name, Exporter))
        home = home_of(self._desk)
        names = [alias_of(self._desk.lease(lease).id) for lease in given] or list(placed.installed(home))
        return placed.uninstall(names, home)

    async def opening(self, name: str, lease: str) -> tuple[Exported, SupportsOpen]:
        """The program ``name`` ready to be started on ``lease``; its entry is installed if it has a place for one."""
        made = self._desk.tool("exporter", name, Exporter)
        if not isinstance(made, SupportsOpen):
            raise UsageError(_("{name} cannot be started from here").format(name=name))
        exported = await self.visit(self._desk.lease(lease).id)
        if isinstance(made, SupportsInstall):
            home = home_of(self._desk)
            question = _("May {name} be told of {lease} in its own settings below {home}?").format(
                name=name, lease=exported.name, home=home
            )
            if exported.name not in made.installed(home) and not self._desk.ui.confirm(question):
                raise UsageError(
                    _("{name} does not know {lease} yet").format(name=name, lease=exported.name),
                    hint=_(
                        "Agree with: gpurent --yes open …, or: gpurent export {name} {lease} --install"
                    ).format(name=name, lease=lease),
                )
            made.install([exported], home)
        return exported, made

    def page(self, lease: str) -> str:
        """The provider's page, empty if it has none."""
        return self._desk.settings(self._desk.provider(self._desk.lease(lease).provider)).get("url", "")

    def _installing(self, name: str, exporter: object) -> SupportsInstall:
        if not isinstance(exporter, SupportsInstall):
            raise UsageError(
                _("{name} has no place of its own to install to").format(name=name),
                hint=_("Without --install it is written to a file or printed."),
            )
        return exporter


def take_out(desk: Desk, lease_id: str) -> None:
    """The lease is over: it leaves every program's place. Trouble there must not touch the lease."""
    alias, home = alias_of(lease_id), home_of(desk)
    for name in desk.registry.exporter:
        try:
            made = desk.tool("exporter", name, Exporter)
            if isinstance(made, SupportsInstall) and alias in made.installed(home):
                made.uninstall([alias], home)
        except (GpurentError, OSError) as error:
            desk.tell(
                EventKind.WARNING,
                _("{name} may still know of {lease}: {why}").format(name=name, lease=lease_id, why=error),
                lease=lease_id,
            )
