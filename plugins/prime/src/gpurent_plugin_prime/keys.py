"""The account's SSH keys."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.api import KeyRegister, RegisteredKey, quote_reason
from gpurent_plugin_prime import wire


@frozen
class PrimeKeys(KeyRegister):
    """A pod is created with the id of one registered key."""

    api: wire.PrimeApi

    async def list_keys(self) -> Sequence[RegisteredKey]:
        return [
            RegisteredKey(reply.get_id(row), reply.get_text(row, "name"), reply.get_text(row, "publicKey"))
            async for reply, row in self.api.read_rows(wire.KEYS_PATH, wire.LIST)
        ]

    async def register_key(self, name: str, line: str) -> str:
        reply = await self.api.call("POST", wire.KEYS_PATH, json={"name": name, "publicKey": line})
        return reply.message if reply.error else ""

    async def unregister_key(self, key: RegisteredKey) -> None:
        reply = await self.api.call("DELETE", f"{wire.KEYS_PATH}{key.id}")
        if reply.error and not reply.is_missing:
            raise reply.make_unexpected_response(quote_reason(reply.message))
