"""The account's SSH keys: one of ours for each order, under the order's name, while its machine exists."""

from __future__ import annotations

from attrs import frozen

from gpurent.api import LeaseError, Spent, quote_reason
from gpurent_plugin_lambda import _, wire


@frozen
class KeyRegister:
    """A launch names exactly one registered key. Keys that others registered are neither used nor deleted."""

    api: wire.LambdaApi

    async def add_key(self, name: str, public_key: str) -> None:
        """Register the key under ``name``, unless that is done; raises `LeaseError` if another key has that name."""
        found = await self._find_key(name)
        if found is None:
            body = {"name": name, "public_key": public_key}
            reply = await self.api.call("POST", wire.KEYS_PATH, json=body)
            # A request that something on its way sends twice is refused, and was carried out.
            if (found := await self._find_key(name)) is None:
                text = _("Lambda Cloud did not take the lease's key: {why}")
                raise LeaseError(text.format(why=quote_reason(reply.message)), spent=Spent.NO)
        if not _is_same(found[1], public_key):
            text = _("another SSH key of the account is already called {name}")
            raise LeaseError(text.format(name=name), spent=Spent.NO)

    async def delete_key(self, name: str, public_key: str) -> None:
        """Delete the key if it is registered under ``name`` and is this very one; no error if it is not."""
        found = await self._find_key(name)
        if found is None or not _is_same(found[1], public_key):
            return
        reply = await self.api.call("DELETE", f"{wire.KEYS_PATH}/{found[0]}")
        if reply.error not in ("", wire.NO_OBJECT):
            raise reply.make_unexpected_response(quote_reason(reply.message))

    async def _find_key(self, name: str) -> tuple[str, str] | None:
        """Return id and line of the key with this name; None if there is none."""
        reply = await self.api.call_checked("GET", wire.KEYS_PATH)
        keys = [(reply.get_name(row, "name"), _parse_key(reply, row)) for row in reply.get_rows("data")]
        return next((key for known, key in keys if known == name), None)


def _parse_key(reply: wire.LambdaReply, row: wire.Row) -> tuple[str, str]:
    return wire.check_id(reply, row), reply.get_name(row, "public_key")


def _is_same(one: str, other: str) -> bool:
    """Whether two lines have the same key, whatever their comments."""
    return one.split()[:2] == other.split()[:2]
