"""Small durable facts of one plugin."""

from __future__ import annotations

from typing import Protocol


class PluginState(Protocol):
    """Small durable facts of this plugin: written before `put` returns. Never secrets."""

    def get(self, name: str) -> str | None: ...
    def put(self, name: str, value: str) -> None: ...
