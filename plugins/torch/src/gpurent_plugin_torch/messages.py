"""The plugin's own translations."""

from __future__ import annotations

from gpurent.api import translator

_ = translator("gpurent_plugin_torch")
