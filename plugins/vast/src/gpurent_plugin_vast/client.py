"""Login with an API key, and requests to the vast.ai API. The key travels in a header, never in a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpurent.api import Authenticator, AuthError, Login, PluginContext, Secret, Spent, quote_reason
from gpurent_plugin_vast import _, wire

PAGE_SIZE = 25
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
        if reply.error:
            raise reply.make_unexpected_response(quote_reason(reply.message))
        return Login(account=str(reply.get_integer(reply.body, "id")), token=key)

    async def is_valid(self, login: Login) -> bool:
        reply = await _request(self._context, login.token, "GET", "/api/v0/users/current/")
        return not reply.error


class VastClient:
    """The API of one account."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        spent: Spent = Spent.NO,
    ) -> wire.ApiReply:
        """Send one request and return the reply, also one that names an error. Raises `AuthError` for a rejected key.

        ``spent`` is what errors of the request itself report.
        """
        login = await self._context.get_login()
        reply = await _request(
            self._context, login.token, method, path, params=params, json=json, spent=spent
        )
        _raise_if_rejected(reply)
        return reply

    async def call_checked(self, method: str, path: str, **parts: Any) -> wire.ApiReply:
        """Send a request that must succeed; raises `UnexpectedResponse` with the service's own words if it does not."""
        reply = await self.call(method, path, **parts)
        if reply.error:
            raise reply.make_unexpected_response(quote_reason(reply.message))
        return reply


async def _request(
    context: PluginContext,
    key: Secret,
    method: str,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    json: Any = None,
    spent: Spent = Spent.NO,
) -> wire.ApiReply:
    header = Secret(f"Bearer {key.reveal()}")
    answer = await context.http.request(
        method, path, params=params, json=json, headers={"Authorization": header}
    )
    return wire.parse_reply(answer, spent)


def _raise_if_rejected(reply: wire.ApiReply) -> None:
    if reply.error in AUTH_ERRORS:
        raise AuthError(
            _("vast.ai rejected the API key: {why}").format(why=quote_reason(reply.message)),
            hint=_("Make a key on the account page of vast.ai, then: gpurent login vast"),
            spent=Spent.NO,
        )
