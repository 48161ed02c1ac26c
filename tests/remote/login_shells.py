"""Login shells of real machines, and start files of each that do all that users' start files do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from attrs import frozen

LEFT_BEHIND = "sleep 20 &"  # with the output open
NOISE = "GPURENT = a frame of noise"


@frozen
class LoginShell:
    """``program`` is looked up in the system's folders; ``start_file``: below the home, empty if it reads none.

    Busybox is a shell by the name of a link, which is in the machine's home: `link_program`.
    """

    name: str
    program: str
    start_file: str = ""
    start_text: str = ""

    def require_path(self) -> str:
        """Return the shell's path. As root, `make setup` has installed it: there it must not be missing."""
        found = shutil.which(self.program, path="/bin:/usr/bin:/usr/local/bin:/usr/sbin")
        if found is None:
            message = f"{self.program} is not installed: scripts/system-packages.sh"
            if os.geteuid() == 0:
                pytest.fail(message)
            pytest.skip(message)
        return found

    def get_login_path(self, user: str) -> str:
        """Return the path that the machine's user database has."""
        found = self.require_path()
        return f"/home/{user}/{self.name}" if self.program == "busybox" else found

    def link_program(self, home: Path) -> None:
        if self.program == "busybox":
            (home / self.name).symlink_to(self.require_path())

    def write_start_file(self, home: Path, text: str = "") -> None:
        """Write ``text``, or all of the trouble, as the start file of a machine."""
        if self.start_file:
            path = home / self.start_file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text or self.start_text)


# Prints, reads a line, moves HOME and the folder, leaves a process behind, and lets a failing command end the shell.
_POSIX_TROUBLE = f"""
echo "{NOISE}"; echo "{NOISE}" >&2; printf 'without an end'
read taken
mkdir -p "$HOME/moved"; HOME="$HOME/moved"; export HOME CDPATH=/usr
cd /tmp
{LEFT_BEHIND}
set -e
"""
_FISH_TROUBLE = f"""
echo "{NOISE}"; echo "{NOISE}" >&2; printf 'without an end'
read taken
mkdir -p $HOME/moved; set -gx HOME $HOME/moved; set -gx CDPATH /usr
cd /tmp
{LEFT_BEHIND}
"""
_CSH_TROUBLE = f"""
echo "{NOISE}"; printf 'without an end'
set taken = $<
mkdir -p $HOME/moved; setenv HOME $HOME/moved; setenv CDPATH /usr
cd /tmp
{LEFT_BEHIND}
"""

BASH = LoginShell("bash", "bash", ".bashrc", _POSIX_TROUBLE)
SHELLS = (
    BASH,
    LoginShell("dash", "dash"),
    LoginShell("ash", "busybox"),
    LoginShell("zsh", "zsh", ".zshenv", _POSIX_TROUBLE),
    LoginShell("fish", "fish", ".config/fish/config.fish", _FISH_TROUBLE),
    LoginShell("csh", "bsd-csh", ".cshrc", _CSH_TROUBLE),
    LoginShell("tcsh", "tcsh", ".tcshrc", _CSH_TROUBLE),
)
