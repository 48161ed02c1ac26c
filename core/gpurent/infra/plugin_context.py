"""The context that each plugin is given."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from logging import Logger
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from gpurent.domain.access import AccessSource
from gpurent.domain.provider_names import get_base_name
from gpurent.domain.question import Challenge
from gpurent.domain.secret import Secret
from gpurent.infra.redact import Redactor, split_secret
from gpurent.infra.service_clocks import ServiceClocks
from gpurent.infra.service_sources import ServiceSources
from gpurent.infra.sqlite.plugin_state import ScopedState
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.ports.local_files import LocalFiles
from gpurent.ports.services import Http, MailReader, PluginState, SecretStore, Vault
from gpurent.ports.system import ProviderClock
from gpurent.roles.account import Login
from gpurent.roles.entries import InputField, LeaseEntry, PluginEntry, PluginRegistry
from gpurent.roles.plugin_context import PluginContext

if TYPE_CHECKING:
    from gpurent.infra.http import HttpClient
    from gpurent.infra.paced_http import Pacer
    from gpurent.infra.recording.exchange import HttpWatch


@frozen(kw_only=True)
class BuiltPluginContext:
    """Implements `PluginContext` for one plugin; logins and questions are passed on to core."""

    http: Http
    clock: ProviderClock
    vault: Vault
    state: PluginState
    mail: MailReader
    settings: Mapping[str, str] = field(repr=False)  # some are secret
    log: Logger
    files: LocalFiles
    log_in: Callable[[bool], Awaitable[Login]]
    answer: Callable[[Challenge], Awaitable[str]]
    make_http: Callable[[str], Http]
    enter_lock: Callable[[str], AbstractAsyncContextManager[None]]
    sources: ServiceSources

    def http_for(self, setting: str) -> Http:
        return self.make_http(setting)

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self.enter_lock(name)

    async def get_login(self, *, force_new: bool = False) -> Login:
        await self.sources.record_use(self.settings.get("url", ""))
        return await self.log_in(force_new)

    async def answer_challenge(self, challenge: Challenge) -> str:
        return await self.answer(challenge)

    async def identify_service(self, url: str) -> AccessSource:
        return await self.sources.identify_service(url)


@define(kw_only=True)
class PluginContextFactory:
    """Makes the contexts of plugins and closes their HTTP clients.

    ``get_settings(name, fields)`` returns the settings of a plugin's section. ``mail`` is the user's mailbox.
    ``log_in(auth, force_new)`` and ``answer_challenge(challenge)`` are core's own. A plugin gets the result of
    ``wrap_http(client, url)`` in place of each of its clients. ``lock(name)`` waits for a lock between processes.
    ``watch(entry, setting)`` makes what is given all requests of the client for that setting; None: nobody watches.
    """

    registry: PluginRegistry
    get_settings: Callable[[str, tuple[InputField, ...]], Mapping[str, str]]
    clocks: ServiceClocks
    secrets: SecretStore
    store: SqliteStore
    redactor: Redactor
    sources: ServiceSources
    mail: MailReader
    log_in: Callable[[str, bool], Awaitable[Login]]
    answer_challenge: Callable[[Challenge], Awaitable[str]]
    wrap_http: Callable[[Http, str], Http]
    lock: Callable[[str], AbstractAsyncContextManager[None]]
    files: LocalFiles
    watch: Callable[[PluginEntry[Any], str], HttpWatch] | None = None
    _clients: list[HttpClient] = field(factory=list)
    _pacers: dict[str, Pacer] = field(factory=dict)

    def make_context(self, entry: PluginEntry[Any], auth: str) -> PluginContext:
        """Make the context of the plugin of ``entry``, which logs in with ``auth``; register its secret settings."""
        from gpurent.infra.http import HttpClient

        settings = self.get_settings(entry.name, entry.settings)
        self.register_secrets(entry)
        log = logging.getLogger(f"gpurent.plugin.{entry.name}")
        live = self._find_live_notes(entry.name)

        def open_at(setting: str) -> Http:
            url = settings.get(setting, "")
            client = HttpClient(
                url,
                redact=self.redactor,
                log=log,
                live=live,
                begin_timing=partial(self.clocks.time_request, entry.name),
                watch=self.watch(entry, setting) if self.watch is not None else None,
            )
            self._clients.append(client)
            http = self.wrap_http(client, url)
            # Only the service at `url` is that of the routes.
            return self._keep_pace(entry, http) if setting == "url" and entry.pacing else http

        return BuiltPluginContext(
            http=open_at("url"),
            clock=self.clocks.clock_of(entry.name),
            vault=self.secrets.get_vault(entry.name),
            state=ScopedState(self.store, entry.name),
            mail=self.mail,
            settings=settings,
            log=log,
            files=self.files,
            log_in=partial(self.log_in, auth),
            answer=self.answer_challenge,
            make_http=open_at,
            enter_lock=lambda name: self.lock(f"{entry.name}-{name}"),
            sources=self.sources,
        )

    def _keep_pace(self, entry: PluginEntry[Any], http: Http) -> Http:
        from gpurent.infra.paced_http import PacedHttp, Pacer

        pacer = self._pacers.get(entry.name)
        if pacer is None:
            clock, state = self.clocks.clock_of(entry.name), ScopedState(self.store, entry.name)
            pacer = self._pacers[entry.name] = Pacer(entry.pacing, clock, state)
        return PacedHttp(http, pacer)

    def register_secrets(self, entry: PluginEntry[Any]) -> None:
        """Register the entry's secret settings, and the parts of them that would reveal them."""
        settings = self.get_settings(entry.name, entry.settings)
        for declared in entry.settings:
            if declared.secret:
                for piece in split_secret(settings.get(declared.name, "")):
                    self.redactor.register_secret(Secret(piece))

    def _find_live_notes(self, name: str) -> str:
        """Return what is known of the real service of the provider that has, logs in with or is paid with ``name``."""
        name, entries = get_base_name(name), self.registry.get_entries(LeaseEntry).values()
        return next((x.live_notes for x in entries if name in (x.name, x.auth, x.billing)), "")

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()
