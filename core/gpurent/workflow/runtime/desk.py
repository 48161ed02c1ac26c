"""The composition root: one place that knows where the journal, the vault, the plugins and the user are."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from gpurent.domain.access import MachineProfile
from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.machine_facts import corrected
from gpurent.domain.mail import Challenge
from gpurent.domain.secret import Secret
from gpurent.errors import GpurentError, InputRequired, PluginError, UsageError
from gpurent.infra.config.settings import settings_for
from gpurent.infra.platform.posix.files import private_folder
from gpurent.infra.plugin_context import BuiltPluginContext
from gpurent.infra.redact import Redactor, pieces
from gpurent.infra.registry.registry import Registry
from gpurent.infra.sqlite.journal import ScopedNotes
from gpurent.infra.vault import FileVault
from gpurent.locale import _
from gpurent.roles.authenticator import Authenticator, Login
from gpurent.roles.billing import BillingProvider
from gpurent.roles.entries import Entry, LeaseEntry
from gpurent.roles.lease import LeaseProvider
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.runtime.challenges import Asker
from gpurent.workflow.runtime.locks import Turns
from gpurent.workflow.runtime.logins import Accounts
from gpurent.workflow.runtime.mail import ConfiguredMailReader
from gpurent.workflow.runtime.notifications import Notifiers
from gpurent.workflow.runtime.state import Records, data_folder
from gpurent.workflow.runtime.ui import Ui

if TYPE_CHECKING:
    from gpurent.infra.http import HttpClient


class Desk(Records, Turns):
    """Everything a step may use: the records, and those who act. Plugins' objects are built once, on first use."""

    def __init__(self, registry: Registry, home: Path, ui: Ui, environment: Mapping[str, str]) -> None:
        super().__init__(registry, home, environment)
        self.ui = ui
        self.redactor = Redactor()
        self.accounts = Accounts(self)
        self.notifiers = Notifiers(self)
        self._built: dict[tuple[str, str], Any] = {}
        self._clients: list[HttpClient] = []

    @classmethod
    def open(cls, registry: Registry, ui: Ui) -> Desk:
        """As the environment says."""
        return cls(registry, data_folder(), ui, os.environ)

    async def close(self) -> None:
        await self.notifiers.close()
        for client in self._clients:
            await client.aclose()
        self.journal.close()

    @cached_property
    def vault(self) -> FileVault:
        return FileVault(private_folder(self.home / "vault"), self._passphrase)

    @cached_property
    def books(self) -> Bookkeeping:
        return Bookkeeping(self)

    @cached_property
    def ssh(self) -> Any:
        from gpurent.infra.ssh.client import Ssh

        return Ssh(private_folder(self.home / "ssh"))

    def _passphrase(self, first: bool) -> Secret | None:
        given = self.environment.get("GPURENT_PASSPHRASE")
        if given:
            return Secret(given)
        label = _("A passphrase for your keys (empty: none)") if first else _("Your passphrase")
        answer = self.ui.ask(label, secret=True)
        return Secret(answer) if answer else None

    # settings and plugins

    def settings(self, entry: Entry[Any]) -> Mapping[str, str]:
        return settings_for(entry.name, entry.settings, self.config, self.environment)

    def hide(self, entry: Entry[Any]) -> None:
        """From now on nobody sees the secret settings of ``entry``."""
        settings = self.settings(entry)
        for declared in entry.settings:
            if declared.secret:
                for piece in pieces(settings.get(declared.name, "")):
                    self.redactor.register(Secret(piece))

    def shop(self, provider: str) -> LeaseProvider:
        entry = self.provider(provider)
        made: LeaseProvider = self._build("lease", entry, LeaseProvider, entry.auth)
        return made

    def shop_of(self, lease: Lease) -> LeaseProvider:
        """Who moves ``lease``: its shop, or the user's own hand where only its terms are declared."""
        if lease.declared is None:
            return self.shop(lease.provider)
        from gpurent.workflow.manual.provider import HandShop

        return HandShop(self, lease.provider)

    def wallet_of(self, lease: Lease) -> BillingProvider:
        """Who knows what ``lease`` costs: its shop's account, or the declared terms."""
        if lease.declared is None:
            return self.wallet(lease.provider)
        from gpurent.workflow.manual.billing import DeclaredAccount

        return DeclaredAccount(self.clock, lease, lease.declared)

    def profile_of(self, lease: Lease) -> MachineProfile:
        """What the machine is like: as its provider says, corrected by what was found on it."""
        return corrected(self.provider(lease.provider).profile, lease.found)

    def wallet(self, provider: str) -> BillingProvider:
        entry = self.provider(provider)
        if not entry.billing:
            raise UsageError(_("{provider} keeps no account").format(provider=provider))
        made: BillingProvider = self._build(
            "billing", self.registry.get("billing", entry.billing), BillingProvider, entry.auth
        )
        return made

    def authenticator(self, provider: str) -> Authenticator:
        entry = self.provider(provider)
        if not entry.auth:
            raise UsageError(_("{provider} needs no login").format(provider=provider))
        made: Authenticator = self._build(
            "auth", self.registry.get("auth", entry.auth), Authenticator, entry.auth
        )
        return made

    def tool(self, kind: str, name: str, role: type[Any]) -> Any:
        """A transfer, session or launcher by name, or the highest ranked one."""
        entries: Mapping[str, Any] = getattr(self.registry, kind)
        if not name:
            if not entries:
                raise PluginError(f"no {kind} plugin is installed")
            name = max(entries, key=lambda key: (getattr(entries[key], "rank", 0), key))
        return self._build(kind, self.registry.get(kind, name), role, "")

    def _build(self, kind: str, entry: Entry[Any], role: type[Any], auth: str) -> Any:
        key = (kind, entry.name)
        if key not in self._built:
            try:
                made = entry.build(self._host(entry, auth))
            except GpurentError:
                raise
            except Exception as error:
                raise PluginError(
                    f"{kind} {entry.name!r} cannot be built: {type(error).__name__}: {error}"
                ) from error
            if not isinstance(made, role):
                raise PluginError(
                    f"{kind} {entry.name!r} built a {type(made).__name__}, not a {role.__name__}"
                )
            self._built[key] = made
        return self._built[key]

    def _host(self, entry: Entry[Any], auth: str) -> BuiltPluginContext:
        settings = self.settings(entry)
        self.hide(entry)
        log = logging.getLogger(f"gpurent.plugin.{entry.name}")
        live = next((found.live for found in self._shops_of(entry.name)), "")
        from gpurent.infra.http import HttpClient

        def open_at(setting: str) -> HttpClient:
            client = HttpClient(settings.get(setting, ""), redact=self.redactor, log=log, live=live)
            self._clients.append(client)
            return client

        async def log_in(renew: bool) -> Login:
            return await self.accounts.login(auth, renew=renew)

        return BuiltPluginContext(
            http=open_at("url"),
            clock=self.clock,
            vault=self.vault.scoped(entry.name),
            notes=ScopedNotes(self.journal, entry.name),
            mail=ConfiguredMailReader(self),
            settings=settings,
            log=log,
            log_in=log_in,
            put_question=self.ask,
            open_at=open_at,
        )

    def _shops_of(self, name: str) -> list[LeaseEntry]:
        """The providers that are called ``name``, or log in or pay by it."""
        return [
            entry for entry in self.registry.lease.values() if name in (entry.name, entry.auth, entry.billing)
        ]

    # the user

    async def ask(self, challenge: Challenge) -> str:
        person = (lambda label: self.ui.ask(label, challenge.secret)) if self.interactive else None
        return await Asker(post=ConfiguredMailReader(self), clock=self.clock, person=person).ask(challenge)

    @property
    def interactive(self) -> bool:
        return bool(getattr(self.ui, "interactive", True))

    def need(self, label: str, *, secret: bool = False, hint: str = "") -> str:
        """An answer of the person's; `InputRequired` when nobody is there."""
        answer = self.ui.ask(label, secret=secret)
        if not answer:
            raise InputRequired(
                _("“{label}” is needed, and nobody answered").format(label=label), hint=hint, retryable=True
            )
        return answer

    def tell(
        self,
        kind: EventKind,
        text: str = "",
        *,
        trip: str = "",
        lease: str = "",
        step: str = "",
        **data: str | int,
    ) -> None:
        event = Event(kind=kind, at=self.clock.now(), trip=trip, lease=lease, step=step, text=text, data=data)
        self.ui.notify(event)
        self.notifiers.tell(event)

    async def pace(self, span: timedelta, floor: float = 0.1) -> None:
        """Wait ``span`` of provider time, but at least ``floor`` real seconds, so that a fast clock does not spin."""
        begun = monotonic()
        await self.clock.sleep(span)
        rest = floor - (monotonic() - begun)
        if rest > 0:
            await asyncio.sleep(rest)

    # leases

    def keep(self, lease: Lease) -> Lease:
        """Write the lease as it is now; tells when its state changed."""
        before = self.journal.lease(lease.id)
        self.journal.keep_lease(lease)
        if before is None or before.state is not lease.state:
            self._moved(lease)
        return lease

    def _moved(self, lease: Lease) -> None:
        self.tell(EventKind.LEASE_CHANGED, lease.note, lease=lease.id, state=lease.state.value)
        if lease.over:
            from gpurent.workflow.connection.exports import take_out

            take_out(self, lease.id)

    async def look(self, lease_id: str) -> Lease:
        """Ask the shop once how the lease stands; taken again when another process moved the lease meanwhile."""
        while True:
            before = self.lease(lease_id)
            after = await self.shop_of(before).refresh(before)
            if after == before:
                return before
            if self.journal.swap_lease(before, after):
                if after.state is not before.state:
                    self._moved(after)
                return after


@asynccontextmanager
async def opened(registry: Registry, ui: Ui) -> AsyncIterator[Desk]:
    """`Desk.open`, closed at the end."""
    desk = Desk.open(registry, ui)
    try:
        yield desk
    finally:
        await desk.close()
