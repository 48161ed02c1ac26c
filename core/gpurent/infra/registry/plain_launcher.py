"""The built-in launcher, which runs the command as it is."""

from __future__ import annotations

import shlex

from gpurent.domain.access import MachineProfile
from gpurent.roles.machine import Launcher


class PlainLauncher(Launcher):
    """Runs a Python file with the machine's Python 3, whatever ``python`` is there; runs anything else as given.

    A single argument with spaces or shell operators is a shell command line and is passed on unchanged, unless it is
    the name of a Python file that is there.
    """

    def launch_command(self, command: tuple[str, ...], profile: MachineProfile) -> str:
        if len(command) == 1 and any(letter in command[0] for letter in " ;|&<>$"):
            if not command[0].endswith(".py"):
                return command[0]
            file = shlex.quote(command[0])
            script = shlex.join((profile.python, "-u", command[0]))
            return f"if [ -f {file} ]; then exec {script}; fi; {command[0]}"
        if command[0].endswith(".py"):
            command = (profile.python, "-u", *command)
        return shlex.join(command)
