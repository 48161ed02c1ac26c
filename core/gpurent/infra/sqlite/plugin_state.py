"""The small texts that plugins keep in the Store."""

from __future__ import annotations

from attrs import frozen

from gpurent.infra.sqlite.table_rows import TableRows
from gpurent.ports.watch_store import PluginStateStore


class PluginStateRows(TableRows):
    """Implements `gpurent.ports.watch_store.PluginStateStore`; a part of `SqliteStore`."""

    async def put_plugin_text(self, plugin: str, name: str, text: str) -> None:
        self._execute(
            "INSERT OR REPLACE INTO plugin_state (plugin, name, value) VALUES (?, ?, ?)", plugin, name, text
        )

    async def find_plugin_text(self, plugin: str, name: str) -> str | None:
        rows = self._database.fetch_rows(
            "SELECT value FROM plugin_state WHERE plugin = ? AND name = ?", plugin, name
        )
        return next((str(value) for (value,) in rows), None)


@frozen(eq=False)
class ScopedState:
    """The durable state of one plugin. Implements `gpurent.ports.services.PluginState`."""

    store: PluginStateStore
    plugin: str

    async def get(self, name: str) -> str | None:
        return await self.store.find_plugin_text(self.plugin, name)

    async def put(self, name: str, value: str) -> None:
        await self.store.put_plugin_text(self.plugin, name, value)
