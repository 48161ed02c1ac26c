"""An odd machine, as data: what it is made of, and where it limits what a user can do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

ADOPT = "adopt"
ACTS = (
    ADOPT,
    "exec",
    "push turbo",
    "push sftp",
    "start screen",
    "start tmux",
    "logs",
    "attach",
    "stop",
    "pull turbo",
    "pull sftp",
    "timer",
    "forward",
    "doctor",
)
"""What is done on each machine, in this order; a machine that cannot be adopted sees no other act."""


class Network(Enum):
    """How the machine is reached."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    HIGH_PORT = "high port"
    SLOW = "slow"


class Full(Enum):
    """When the home folder, a disk of its own, is full to the last byte."""

    NEVER = "never"
    ADOPTED = "once the machine is adopted"
    DURING = "while a job runs"
    ALWAYS = "always"


class Login(Enum):
    """What the user has to log in with."""

    PASSWORD = "password"
    KEY = "key"


@frozen(kw_only=True)
class OddMachine:
    """What differs from a plain machine with bash, a password, screen, tmux and Python 3.

    ``shell_program``: a program of this computer that is the login shell, started under the name ``shell_name``.
    ``home_files``, ``etc_files``: texts by their paths below the home folder and /etc. ``sshd``: lines of its
    settings, before those of a plain machine. ``variables``: what sshd sets for every command. ``missing``: programs
    that are not in its PATH. ``programs``: scripts that come first in its PATH. ``bwrap``: arguments of bubblewrap,
    after those of a plain machine; ``mounts``: shell lines that mount, in a namespace around it, what bubblewrap
    cannot. ``shadow``: the rest of its user's line in /etc/shadow, after the password. ``terminal``: the TERM of
    the user's own terminal.

    ``home_mode``: the permissions of its home folder once it is adopted. ``doctor_finds``: the cause of a finding
    that the doctor must have.

    ``limits``: by act, words of the error that the product must print (``a|b``: one of them) where the machine makes
    the act impossible. ``needs``: programs of this computer without which it cannot be built. ``is_slow``: everything
    takes seconds there, and it is left to the night.
    """

    name: str
    summary: str
    user: str = "mist"
    shell_program: str = "bash"
    shell_name: str = ""
    home_files: Mapping[str, str] = field(factory=dict)
    etc_files: Mapping[str, str] = field(factory=dict)
    sshd: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(factory=dict)
    missing: tuple[str, ...] = ()
    programs: Mapping[str, str] = field(factory=dict)
    bwrap: tuple[str, ...] = ()
    mounts: str = ""
    shadow: str = "19000:0:99999:7:::"
    passwd_home: str = ""
    disk_bytes: int | None = None
    full: Full = Full.NEVER
    home_mode: int | None = None
    network: Network = Network.IPV4
    login: Login = Login.PASSWORD
    terminal: str = "xterm-256color"
    is_slow: bool = False
    needs: tuple[str, ...] = ()
    limits: Mapping[str, str] = field(factory=dict)
    doctor_finds: str = ""
    data_files: Mapping[str, str] = field(factory=dict)

    @property
    def shell_path(self) -> str:
        """The path in the machine's /etc/passwd."""
        if "/" in self.shell_program:
            return self.shell_program
        return f"/opt/shells/{self.shell_name or self.shell_program}"


def limit_all(words: str, *acts: str) -> Mapping[str, str]:
    """Return one limit for several acts."""
    return dict.fromkeys(acts, words)
