"""What plugins reach the outside by: HTTP, the mailbox, secrets, small durable facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from gpurent.domain.question import Mail
from gpurent.domain.secret import Secret


class HttpResponse(Protocol):
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
        """The body as JSON with numbers kept exact (`decimal.Decimal`); not JSON is a `UnexpectedResponse`."""


class Http(Protocol):
    """An HTTP client below the plugin's base URL. Time limits, size limits and redaction are core's.

    Errors: no answer at all is an `UnavailableError`; every status, 500 too, comes back as an `HttpResponse`.
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
    ) -> HttpResponse: ...


class MailReader(Protocol):
    """The user's mailbox, or `available` False when none is set up."""

    @property
    def is_available(self) -> bool: ...
    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        """Mails from exactly ``sender`` since then, whose subject contains ``subject``; oldest first."""


class PluginState(Protocol):
    """Small durable facts of this plugin: written before `put` returns. Never secrets."""

    def get(self, name: str) -> str | None: ...
    def put(self, name: str, value: str) -> None: ...


class Vault(Protocol):
    """Secrets of this plugin, encrypted at rest."""

    def get(self, name: str) -> Secret | None: ...
    def put(self, name: str, secret: Secret) -> None: ...
    def delete(self, name: str) -> None: ...


class SecretStore(Protocol):
    """The user's vault; one part of it for each plugin, and for core itself."""

    def get_vault(self, scope: str) -> Vault: ...
    async def unlock(self, *, create: bool = False) -> None:
        """Ask for the passphrase now if it will be needed; ``create``: or chosen, because a secret is to be stored."""


class SecretRegistry(Protocol):
    """Knows the values that must not be seen in any log, message or notice."""

    def register_secret(self, secret: Secret) -> None:
        """Hide ``secret`` from now on."""

    def redact(self, text: str) -> str:
        """``text`` without any registered value and without private keys."""
