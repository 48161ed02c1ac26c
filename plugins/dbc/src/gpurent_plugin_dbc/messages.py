"""This plugin's texts in the user's language."""

from __future__ import annotations

from gpurent.api import make_translator

_ = make_translator("gpurent_plugin_dbc")
