"""The launcher that gpurent brings along: the command as it is."""

from __future__ import annotations

import shlex

from gpurent.domain.access import MachineProfile
from gpurent.roles.machine import Launcher


class PlainLauncher(Launcher):
    """A Python file runs under the machine's Python 3, whatever ``python`` is there (row R1); all else runs as given.

    One argument with blanks is a whole shell line and is passed on untouched.
    """

    def launch_command(self, command: tuple[str, ...], profile: MachineProfile) -> str:
        if len(command) == 1 and any(letter in command[0] for letter in " ;|&<>$"):
            return command[0]
        if command[0].endswith(".py"):
            command = (profile.python, "-u", *command)
        return shlex.join(command)
