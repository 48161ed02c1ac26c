"""What core hands to a plugin. Plugins receive these; they never build them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gpurent.model.access import Endpoint
from gpurent.model.mail import Challenge, Mail
from gpurent.model.secret import Secret
from gpurent.ports.authenticator import Login

if TYPE_CHECKING:
    import asyncssh


class Clock(Protocol):
    """The provider's time. In the sandbox it runs faster than the wall's."""

    def now(self) -> datetime:
        """The present, aware, UTC."""

    async def sleep(self, span: timedelta) -> None:
        """Let ``span`` of this clock's time pass."""


class Answer(Protocol):
    """An HTTP answer, read whole; ``url`` is the one that was asked, without secrets in its query."""

    @property
    def status(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def cookies(self) -> Mapping[str, str]:
        """Cookies that this answer set."""

    def json(self) -> Any:
        """The body as JSON with numbers kept exact (`decimal.Decimal`); not JSON is a `ProviderChanged`."""


class Http(Protocol):
    """An HTTP client below the plugin's base URL. Time limits, size limits and redaction are core's.

    Errors: no answer at all is an `UnavailableError`; every status, 500 too, comes back as an `Answer`.
    Nothing is ever retried: whether the call had its effect is for the plugin to find out.
    """

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str | Secret] | None = None,
        cookies: Mapping[str, Secret] | None = None,
        json: Any = None,
        timeout: float = 30.0,
    ) -> Answer: ...


class Vault(Protocol):
    """Secrets of this plugin, encrypted at rest."""

    def get(self, name: str) -> Secret | None: ...
    def put(self, name: str, secret: Secret) -> None: ...
    def drop(self, name: str) -> None: ...


class Notes(Protocol):
    """Small durable facts of this plugin: written before `put` returns. Never secrets."""

    def get(self, name: str) -> str | None: ...
    def put(self, name: str, value: str) -> None: ...


class Post(Protocol):
    """The user's mailbox, or `available` False when none is set up."""

    @property
    def available(self) -> bool: ...
    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        """Mails from exactly ``sender`` since then, whose subject contains ``subject``; oldest first."""


class Host(Protocol):
    """Everything a plugin may touch of the outside."""

    @property
    def http(self) -> Http: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def notes(self) -> Notes: ...
    @property
    def mail(self) -> Post: ...
    @property
    def settings(self) -> Mapping[str, str]:
        """The plugin's settings as text; a declared default is filled in."""

    @property
    def log(self) -> Logger: ...
    def at(self, setting: str) -> Http:
        """A client below the base URL that ``setting`` names, for a plugin that speaks to two services."""

    async def login(self, *, renew: bool = False) -> Login:
        """The provider's valid login; ``renew``: it was refused, log in again. None: `AuthError`."""

    async def ask(self, challenge: Challenge) -> str:
        """Group one of the challenge's pattern: from the mailbox first, then from the person.

        Waits for the mail some minutes of the clock's time; nobody there is a `NeedsPerson`.
        """


class Ran(Protocol):
    """What a remote command did."""

    @property
    def status(self) -> int: ...
    @property
    def out(self) -> str: ...
    @property
    def err(self) -> str: ...


class Link(Protocol):
    """An open line to one machine."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def connection(self) -> asyncssh.SSHClientConnection: ...
    @property
    def key_file(self) -> Path:
        """The lease's private key (0600), for tools that open lines of their own."""

    @property
    def known_hosts(self) -> Path: ...
    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> Ran:  # noqa: A002 - as in subprocess
        """Run one shell command in the home folder. A lost line is an `UnavailableError`; a status is no error."""
