"""``gpurent plugin``: what is installed, whether a plugin is right, and a new one."""

from gpurent.cli.commands.plugin import check, listing, new
from gpurent.cli.commands.plugin.group import plugin_command

__all__ = ["check", "listing", "new", "plugin_command"]
