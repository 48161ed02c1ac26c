"""What core hands to a plugin. Plugins receive it; they never build it."""

from __future__ import annotations

from collections.abc import Mapping
from logging import Logger
from typing import Protocol

from gpurent.domain.question import Challenge
from gpurent.ports.services import Http, MailReader, PluginState, Vault
from gpurent.ports.system import Clock
from gpurent.roles.account import Login


class PluginContext(Protocol):
    """Everything a plugin may touch of the outside."""

    @property
    def http(self) -> Http: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def state(self) -> PluginState: ...
    @property
    def mail(self) -> MailReader: ...
    @property
    def settings(self) -> Mapping[str, str]:
        """The plugin's settings as text; a declared default is filled in."""

    @property
    def log(self) -> Logger: ...
    def http_for(self, setting: str) -> Http:
        """A client below the base URL that ``setting`` names, for a plugin that speaks to two services."""

    async def get_login(self, *, renew: bool = False) -> Login:
        """The provider's valid login; ``renew``: it was refused, log in again. None: `AuthError`."""

    async def answer_challenge(self, challenge: Challenge) -> str:
        """Group one of the challenge's pattern: from the mailbox first, then from the person.

        Waits for the mail some minutes of the clock's time; nobody there is a `InputRequired`.
        """
