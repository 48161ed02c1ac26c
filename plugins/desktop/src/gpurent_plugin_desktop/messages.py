"""What this plugin says to people."""

from __future__ import annotations

from gpurent.api import translator

_ = translator("gpurent_plugin_desktop")
