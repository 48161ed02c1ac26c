"""The command ``gpurent plugin``."""

from __future__ import annotations

import click


@click.group("plugin")
def plugin_command() -> None:
    """Plugins: what is installed, and what it provides."""
