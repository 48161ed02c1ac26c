"""The login with an API key, and what only GraphQL tells of the account."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from attrs import evolve

from gpurent.api import ApiKeyAuthenticator, Login, Secret
from gpurent_plugin_runpod import _
from gpurent_plugin_runpod.wire import RunpodApi, RunpodReply


async def query_account(api: RunpodApi, field: str, token: Secret | None = None) -> RunpodReply | None:
    """Return a reply whose body is the account with its ``field``; None if GraphQL is retired or closed to this key."""
    query = {"query": f"query {{ myself {{ {field} }} }}"}
    reply = await api.call("POST", "/graphql", json=query, token=token)
    if reply.status in (403, 410) or reply.is_missing:
        return None
    if reply.error:
        raise reply.make_unexpected_response(reply.message)
    return evolve(reply, body=reply.get_object(reply.get_object(reply.body, "data"), "myself"))


class RunpodAuthenticator(ApiKeyAuthenticator[RunpodReply]):
    """Logs in with an API key. The account is known by its id, or by its key if only the REST API is open to that."""

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        key = fields["api_key"]
        account = await query_account(self.api, self.account_field, key)
        if account is None:
            await self.api.call_checked("GET", self.account_path, token=key)
            return Login(account=f"key-{sha256(key.reveal().encode()).hexdigest()[:12]}", token=key)
        name = account.get_text(account.body, self.account_field)
        if not name:
            raise account.make_unexpected_response(_("an account without its id"))
        return Login(account=name, token=key)
