"""What core gives to a plugin. Plugins receive it and never build it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from logging import Logger
from typing import Protocol

from gpurent.domain.question import Challenge
from gpurent.ports.local_files import LocalFiles
from gpurent.ports.services import Http, MailReader, PluginState, Vault
from gpurent.ports.system import Clock
from gpurent.roles.account import Login


class PluginContext(Protocol):
    """The plugin's access to everything outside itself."""

    @property
    def http(self) -> Http: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def state(self) -> PluginState:
        """Values that the plugin stores between runs."""

    @property
    def mail(self) -> MailReader: ...
    @property
    def settings(self) -> Mapping[str, str]:
        """The plugin's settings as text, with declared defaults filled in."""

    @property
    def files(self) -> LocalFiles:
        """The files of this computer, for transfers."""

    @property
    def log(self) -> Logger: ...
    def http_for(self, setting: str) -> Http:
        """Return a client for the plugin's second service, whose base URL is the setting ``setting``."""

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        """Wait for the lock ``name`` of this plugin, which one process of the user holds at a time.

        It is not reentrant. Raises `BusyError` after some minutes.
        """

    async def get_login(self, *, force_new: bool = False) -> Login:
        """Return a valid login at the provider; raises `AuthError` if there is none.

        ``force_new``: the last one was rejected, so log in again.
        """

    async def answer_challenge(self, challenge: Challenge) -> str:
        """Return the answer, which is what group 1 of the challenge's pattern matches.

        It is looked for in the mailbox first, else the user is asked for it.

        Waits for the mail for a few minutes of provider time; raises `InputRequired` if nobody is there to answer.
        """
