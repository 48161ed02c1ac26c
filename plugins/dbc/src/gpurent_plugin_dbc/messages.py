"""Translation of this plugin's texts."""

from __future__ import annotations

from gpurent.api import make_translator

_ = make_translator("gpurent_plugin_dbc")
