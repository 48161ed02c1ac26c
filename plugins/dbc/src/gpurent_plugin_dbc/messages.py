"""This plugin's texts in the user's language."""

from __future__ import annotations

from gpurent.api import translator

_ = translator("gpurent_plugin_dbc")
