"""What each plugin is given, made of this computer's parts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from logging import Logger
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from gpurent.domain.question import Challenge
from gpurent.domain.secret import Secret
from gpurent.infra.redact import Redactor, pieces
from gpurent.infra.sqlite.store import ScopedState, SqliteStore
from gpurent.ports.services import Http, MailReader, PluginState, SecretStore, Vault
from gpurent.ports.system import Clock
from gpurent.roles.account import Login
from gpurent.roles.entries import Entry, Field, LeaseEntry, PluginRegistry
from gpurent.roles.plugin_context import PluginContext

if TYPE_CHECKING:
    from gpurent.infra.http import HttpClient


@frozen(kw_only=True)
class BuiltPluginContext:
    """Implements `PluginContext` for one plugin; logins and questions go back to core."""

    http: Http
    clock: Clock
    vault: Vault
    notes: PluginState
    mail: MailReader
    settings: Mapping[str, str] = field(repr=False)  # some are secret
    log: Logger
    log_in: Callable[[bool], Awaitable[Login]]
    put_question: Callable[[Challenge], Awaitable[str]]
    open_at: Callable[[str], Http]

    def at(self, setting: str) -> Http:
        return self.open_at(setting)

    async def login(self, *, renew: bool = False) -> Login:
        return await self.log_in(renew)

    async def ask(self, challenge: Challenge) -> str:
        return await self.put_question(challenge)


@define(kw_only=True)
class PluginContextFactory:
    """``declared``: the settings of a plugin's section. ``mail`` is the user's mailbox.

    ``log_in(auth, renew)`` and ``answer(challenge)`` are core's own. A plugin gets what
    ``wrap_http(client, url)`` makes of each of its clients.
    """

    registry: PluginRegistry
    declared: Callable[[str, tuple[Field, ...]], Mapping[str, str]]
    clock: Clock
    secrets: SecretStore
    store: SqliteStore
    redactor: Redactor
    mail: MailReader
    log_in: Callable[[str, bool], Awaitable[Login]]
    answer: Callable[[Challenge], Awaitable[str]]
    wrap_http: Callable[[Http, str], Http]
    _clients: list[HttpClient] = field(factory=list)

    def make_context(self, entry: Entry[Any], auth: str) -> PluginContext:
        """For the plugin of ``entry``, which logs in by ``auth``. Its secret settings are hidden from now on."""
        from gpurent.infra.http import HttpClient

        settings = self.declared(entry.name, entry.settings)
        self.hide_settings(entry)
        log = logging.getLogger(f"gpurent.plugin.{entry.name}")
        live = self._live(entry.name)

        def open_at(setting: str) -> Http:
            url = settings.get(setting, "")
            client = HttpClient(url, redact=self.redactor, log=log, live=live)
            self._clients.append(client)
            return self.wrap_http(client, url)

        return BuiltPluginContext(
            http=open_at("url"),
            clock=self.clock,
            vault=self.secrets.scoped(entry.name),
            notes=ScopedState(self.store, entry.name),
            mail=self.mail,
            settings=settings,
            log=log,
            log_in=partial(self.log_in, auth),
            put_question=self.answer,
            open_at=open_at,
        )

    def hide_settings(self, entry: Entry[Any]) -> None:
        """Register the entry's secret settings, and the parts of them that give them away."""
        settings = self.declared(entry.name, entry.settings)
        for declared in entry.settings:
            if declared.secret:
                for piece in pieces(settings.get(declared.name, "")):
                    self.redactor.register(Secret(piece))

    def _live(self, name: str) -> str:
        """What is known of the real service of the provider that is called ``name``, or logs in or pays by it."""
        entries = self.registry.entries(LeaseEntry).values()
        return next((x.live for x in entries if name in (x.name, x.auth, x.billing)), "")

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()
