"""The services that plugins are given: HTTP, the mailbox, the vault, durable state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from gpurent.domain.question import Mail
from gpurent.domain.secret import Secret
from gpurent.errors import Spent


class HttpResponse(Protocol):
    """An HTTP response, completely read; ``url`` is the requested one, with the secrets in its query masked."""

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
        """Cookies that this response sets."""

    def raise_if_unavailable(self, service: str, spent: Spent = Spent.NO) -> None:
        """Raise `UnavailableError` for a status that says nothing about the request: 429, or 500 and above.

        ``service`` names it for people; ``spent``: whether the request may have spent money all the same.
        """

    def json(self) -> Any:
        """Parse the body as JSON, with exact numbers (`decimal.Decimal`).

        Raises `UnexpectedResponse` if it is not JSON.
        """


class Http(Protocol):
    """An HTTP client for the plugin's base URL. Core takes care of timeouts, size limits and redaction.

    Raises `UnavailableError` if there is no response; any status, even 500, is returned as an `HttpResponse`. Nothing
    is retried: the plugin has to find out whether the request took effect. The client waits until a route is free that
    the plugin's entry paces; a GET that came too early all the same is sent once more.

    Secrets, also those inside ``json``, are masked wherever the request is shown. ``headers`` are sent besides those
    that the client sends itself.
    """

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | Secret] | None = None,
        form: Mapping[str, str | Secret] | None = None,
        cookies: Mapping[str, Secret] | None = None,
        headers: Mapping[str, str | Secret] | None = None,
        json: Any = None,
        timeout: float = 30.0,
    ) -> HttpResponse: ...


class MailReader(Protocol):
    """The user's mailbox; ``is_available`` is false when none is set up."""

    @property
    def is_available(self) -> bool: ...
    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        """Return mails since ``since`` from exactly ``sender`` whose subject contains ``subject``, oldest first."""


class PluginState(Protocol):
    """Durable state of this plugin, small texts by name, on disk before `put` returns. Not for secrets."""

    async def get(self, name: str) -> str | None: ...
    async def put(self, name: str, value: str) -> None: ...


class Vault(Protocol):
    """Secrets of this plugin, encrypted on disk."""

    def get(self, name: str) -> Secret | None: ...
    def put(self, name: str, secret: Secret) -> None: ...
    def delete(self, name: str) -> None: ...


class SecretStore(Protocol):
    """The user's vault, with a separate part for each plugin and for core itself."""

    def get_vault(self, scope: str) -> Vault: ...
    async def unlock(self, *, create: bool = False) -> None:
        """Ask for the passphrase now if it will be needed.

        ``create``: a secret will be stored, so a vault that does not exist yet may get a new passphrase.
        """


class SecretRegistry(Protocol):
    """Knows the values that must not be shown in any log, message or notice."""

    def register_secret(self, secret: Secret) -> None:
        """Mask ``secret`` from now on."""

    def register_account(self, account: str) -> None:
        """Leave ``account``, which identifies the user to a service, out of recordings. Messages may show it."""

    def redact(self, text: str) -> str:
        """Return ``text`` with registered values and private keys masked."""
