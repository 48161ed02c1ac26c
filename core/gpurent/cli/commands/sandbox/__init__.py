"""``gpurent sandbox``: simulated providers, and what a tester can do to them; ``gpurent demo``."""

from gpurent.cli.commands.sandbox import clock, faults, lifecycle, machines, mail
from gpurent.cli.commands.sandbox.demo import demo_command
from gpurent.cli.commands.sandbox.group import sandbox_command

__all__ = ["clock", "demo_command", "faults", "lifecycle", "machines", "mail", "sandbox_command"]
