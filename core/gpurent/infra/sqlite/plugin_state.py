"""The small texts that plugins keep in the Store, and the accounts that core keeps beside them."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.infra.sqlite.table_rows import TableRows
from gpurent.ports.watch_store import PluginStateStore

ACCOUNT_SCOPE = "@"
"""In place of a plugin's name: none is called like this."""


class PluginStateRows(TableRows):
    """Implements `gpurent.ports.watch_store`'s `PluginStateStore` and `AccountStore`; a part of `SqliteStore`."""

    async def put_plugin_text(self, plugin: str, name: str, text: str) -> None:
        self._execute(
            "INSERT OR REPLACE INTO plugin_state (plugin, name, value) VALUES (?, ?, ?)", plugin, name, text
        )

    async def find_plugin_text(self, plugin: str, name: str) -> str | None:
        rows = self._database.fetch_rows(
            "SELECT value FROM plugin_state WHERE plugin = ? AND name = ?", plugin, name
        )
        return next((str(value) for (value,) in rows), None)

    # accounts

    async def put_account(self, login: str) -> None:
        self._execute(
            "INSERT OR IGNORE INTO plugin_state (plugin, name, value) VALUES (?, ?, ?)",
            ACCOUNT_SCOPE,
            login,
            self._format_now(),
        )

    async def delete_account(self, login: str) -> None:
        self._execute("DELETE FROM plugin_state WHERE plugin = ? AND name = ?", ACCOUNT_SCOPE, login)

    async def list_accounts(self) -> Sequence[str]:
        rows = self._database.fetch_rows(
            "SELECT name FROM plugin_state WHERE plugin = ? ORDER BY name", ACCOUNT_SCOPE
        )
        return [str(name) for (name,) in rows]


@frozen(eq=False)
class ScopedState:
    """The durable state of one plugin. Implements `gpurent.ports.services.PluginState`."""

    store: PluginStateStore
    plugin: str

    async def get(self, name: str) -> str | None:
        return await self.store.find_plugin_text(self.plugin, name)

    async def put(self, name: str, value: str) -> None:
        await self.store.put_plugin_text(self.plugin, name, value)
