"""Login with an API key, and requests to the vast.ai API. The key travels in a header, never in a URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from gpurent.api import (
    Authenticator,
    AuthError,
    Login,
    PluginContext,
    Secret,
    Spent,
    UnexpectedResponse,
    quote_reason,
)
from gpurent_plugin_vast import _, wire

MAX_PAGES = 400
# A wrong key is answered with 401 or 404, depending on the route; a request without one with 403.
AUTH_ERRORS = frozenset({"auth_error", "http-401", "http-403"})


class VastAuthenticator(Authenticator):
    """Logs in to vast.ai: the login's token is the API key itself."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        key = fields["api_key"]
        reply = await _request(self._context, key, "GET", "/api/v0/users/current/")
        _raise_if_rejected(reply)
        _raise_if_failed(reply)
        return Login(account=str(reply.get_integer(reply.body, "id")), token=key)

    async def is_valid(self, login: Login) -> bool:
        reply = await _request(self._context, login.token, "GET", "/api/v0/users/current/")
        return not reply.error


class VastClient:
    """The API of one account."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def call(self, method: str, path: str, **parts: Any) -> wire.VastReply:
        """Send one request and return the reply, also one that names an error. Raises `AuthError` for a rejected key.

        ``parts``: ``params`` and ``json`` of the request, and ``spent``, which is what its errors report.
        """
        login = await self._context.get_login()
        reply = await _request(self._context, login.token, method, path, **parts)
        _raise_if_rejected(reply)
        return reply

    async def call_checked(self, method: str, path: str, **parts: Any) -> wire.VastReply:
        """Send a request that must succeed; raises `UnexpectedResponse` with the service's own words if it does not."""
        reply = await self.call(method, path, **parts)
        _raise_if_failed(reply)
        return reply

    async def read_pages(self, path: str, params: Mapping[str, str]) -> AsyncIterator[wire.VastReply]:
        """Yield each page of a list; raises `UnexpectedResponse` for one without an end."""
        asked = dict(params)
        for _page in range(MAX_PAGES):
            reply = await self.call_checked("GET", path, params=asked)
            yield reply
            token = reply.body.get("next_token")
            if not token:
                return
            if not isinstance(token, str):
                raise reply.make_unexpected_response(_("{name} is no text").format(name="next_token"))
            asked["after_token"] = token
        raise UnexpectedResponse(_("vast.ai's list at {path} does not end").format(path=path), url=path)


async def _request(
    context: PluginContext,
    key: Secret,
    method: str,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    json: Any = None,
    spent: Spent = Spent.NO,
) -> wire.VastReply:
    header = Secret(f"Bearer {key.reveal()}")
    answer = await context.http.request(
        method, path, params=params, json=json, headers={"Authorization": header}
    )
    return wire.VastReply.parse(answer, "vast.ai", spent)


def _raise_if_failed(reply: wire.VastReply) -> None:
    if reply.error:
        raise reply.make_unexpected_response(quote_reason(reply.message))


def _raise_if_rejected(reply: wire.VastReply) -> None:
    if reply.error in AUTH_ERRORS:
        raise AuthError(
            _("vast.ai rejected the API key: {why}").format(why=quote_reason(reply.message)),
            hint=_("Make a key on the account page of vast.ai, then: gpurent login vast"),
            spent=Spent.NO,
        )
