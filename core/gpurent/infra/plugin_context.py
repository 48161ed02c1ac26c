"""The host as a plugin sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from logging import Logger

from attrs import field, frozen

from gpurent.domain.mail import Challenge
from gpurent.ports.clock import Clock
from gpurent.ports.http import Http
from gpurent.ports.mail_reader import MailReader
from gpurent.ports.plugin_state import PluginState
from gpurent.ports.secrets import Vault
from gpurent.roles.authenticator import Login


@frozen(kw_only=True)
class BuiltPluginContext:
    """Implements `gpurent.roles.plugin_context.Host` for one plugin; logins and questions go back to core."""

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
