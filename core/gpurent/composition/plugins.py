"""What the command line needs to begin a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpurent.infra.plugin_templates import (
    PluginNames as PluginNames,
    list_kinds as list_kinds,
    render_plugin as render_plugin,
    write_plugin as write_plugin,
)
from gpurent.infra.registry.origins import list_released_names

if TYPE_CHECKING:
    from gpurent.infra.registry.registry import EntryPointRegistry


def list_known_distributions(registry: EntryPointRegistry) -> set[str]:
    """Return the distributions of the plugins that were released with this gpurent, and of those installed here."""
    return {*list_released_names(), *(origin.distribution for origin in registry.list_origins())}
