"""The account's SSH keys."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.api import KeyRegister, RegisteredKey, quote_reason
from gpurent_plugin_lambda import wire


@frozen
class LambdaKeys(KeyRegister):
    """A launch names exactly one registered key."""

    api: wire.LambdaApi

    async def list_keys(self) -> Sequence[RegisteredKey]:
        reply = await self.api.call_checked("GET", wire.KEYS_PATH)
        return [
            RegisteredKey(reply.get_id(row), reply.get_name(row, "name"), reply.get_name(row, "public_key"))
            for row in reply.get_rows("data")
        ]

    async def register_key(self, name: str, line: str) -> str:
        reply = await self.api.call("POST", wire.KEYS_PATH, json={"name": name, "public_key": line})
        return reply.message if reply.error else ""

    async def unregister_key(self, key: RegisteredKey) -> None:
        reply = await self.api.call("DELETE", f"{wire.KEYS_PATH}/{key.id}")
        if reply.error not in ("", wire.NO_OBJECT):
            raise reply.make_unexpected_response(quote_reason(reply.message))
