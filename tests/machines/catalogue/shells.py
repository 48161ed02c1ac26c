"""Machines that differ in the login shell alone."""

from __future__ import annotations

from tests.machines.machine import OddMachine

SHELLS = (
    OddMachine(name="bash", summary="the login shell is bash; a plain machine"),
    OddMachine(name="dash", summary="the login shell is dash", shell_program="dash"),
    OddMachine(name="ash", summary="the login shell is busybox ash", shell_program="ash", needs=("busybox",)),
    OddMachine(name="zsh", summary="the login shell is zsh", shell_program="zsh", needs=("zsh",)),
    OddMachine(name="fish", summary="the login shell is fish", shell_program="fish", needs=("fish",)),
    OddMachine(
        name="csh", summary="the login shell is csh", shell_program="tcsh", shell_name="csh", needs=("tcsh",)
    ),
    OddMachine(name="tcsh", summary="the login shell is tcsh", shell_program="tcsh", needs=("tcsh",)),
)
