"""The login with an API key. The account's name is that of the owner of its resources, as the log of events has it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from gpurent.api import Authenticator, AuthError, Login, Secret
from gpurent_plugin_lambda import wire


@frozen
class LambdaAuthenticator(Authenticator):
    api: wire.LambdaApi

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        """Log in; the account is not known if its log names no owner, or if the key may not read the log."""
        key = fields["api_key"]
        await self._check(key)
        reply = await self.api.call("GET", wire.EVENTS_PATH, token=key)
        if reply.error.startswith("http-"):
            raise reply.make_unexpected_response(reply.error)
        events = () if reply.error else reply.get_rows("data")
        owners = (reply.get_text(event, "resource_owner_lrn") for event in events)
        return Login(account=next(filter(None, owners), ""), token=key)

    async def is_valid(self, login: Login) -> bool:
        try:
            await self._check(login.token)
        except AuthError:
            return False
        return True

    async def _check(self, key: Secret) -> None:
        reply = await self.api.call_checked("GET", wire.INSTANCES_PATH, token=key)
        reply.get_rows("data")
