"""The host as a plugin sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from logging import Logger

from attrs import field, frozen

from gpurent.model.mail import Challenge
from gpurent.ports.authenticator import Login
from gpurent.ports.host import Clock, Http, Notes, Post, Vault


@frozen(kw_only=True)
class PluginHost:
    """Implements `gpurent.ports.host.Host` for one plugin; logins and questions go back to core."""

    http: Http
    clock: Clock
    vault: Vault
    notes: Notes
    mail: Post
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
