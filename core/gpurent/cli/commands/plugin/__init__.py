"""``gpurent plugin``: what is installed, whether a plugin is right, and a new one."""

from gpurent.cli.commands.plugin import listing, new
from gpurent.cli.commands.plugin.group import plugin_command

__all__ = ["listing", "new", "plugin_command"]
