"""Specs of fake rented servers, and the interface of the drivers that boot and kill them."""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Literal

from attrs import Attribute, define, field, frozen

from gpurent.testing.sandbox.fault_proxy import FaultProxy

StopCallback = Callable[[str], Awaitable[None]]
"""Awaited with the machine's id when one of its stop scripts runs inside."""

DriverName = Literal["embedded", "bwrap", "auto"]

_USER_PATTERN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_HOSTNAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")
_PROGRAM_PATTERN = re.compile(r"[a-z0-9][a-z0-9.+_-]*")
_SCRIPT_PATTERN = re.compile(
    r"(?!/(usr|bin|sbin|lib|etc|dev|proc)/)(~|(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)/[A-Za-z0-9_][A-Za-z0-9._-]*"
)

_SHELL_PATTERN = re.compile(r"(/[A-Za-z0-9._-]+)+")


def _match_validator(pattern: re.Pattern[str]) -> "Callable[[object, Attribute[str], str], None]":
    def check(_: object, attribute: "Attribute[str]", value: str) -> None:
        if not pattern.fullmatch(value):
            raise ValueError(f"{attribute.name}: {value!r} does not match {pattern.pattern}")

    return check


def _all_match_validator(
    pattern: re.Pattern[str],
) -> "Callable[[object, Attribute[tuple[str, ...]], tuple[str, ...]], None]":
    def check(_: object, attribute: "Attribute[tuple[str, ...]]", values: tuple[str, ...]) -> None:
        for value in values:
            if not pattern.fullmatch(value):
                raise ValueError(f"{attribute.name}: {value!r} does not match {pattern.pattern}")

    return check


def _check_no_line_break(_: object, attribute: "Attribute[str]", value: str) -> None:
    if "\n" in value:
        raise ValueError(f"{attribute.name} must be one line")


def check_key_line(line: str) -> None:
    """Raise ``ValueError`` if ``line`` cannot be a line of an authorized_keys file."""
    if not line.strip() or len(line.splitlines()) != 1 or line.endswith("\n"):
        raise ValueError("a key must be one line, and not empty")


def _check_key_lines(_: object, _attribute: "Attribute[tuple[str, ...]]", lines: tuple[str, ...]) -> None:
    for line in lines:
        check_key_line(line)


def _check_options(_: object, _attribute: "Attribute[tuple[str, ...]]", lines: tuple[str, ...]) -> None:
    if any("\n" in line or not line.strip() for line in lines):
        raise ValueError("an option must be one line, and not empty")


def _check_single_line(_: object, attribute: "Attribute[str]", value: str) -> None:
    if not value or "\n" in value:
        raise ValueError(f"{attribute.name} must be one line, and not empty")


@frozen(kw_only=True)
class MachineSpec:
    """The spec of a machine to boot. Raises ``ValueError`` for names that no real machine could have."""

    user: str = field(validator=_match_validator(_USER_PATTERN))
    """Login name: ``mist``, ``root``."""
    password: str = field(default="", validator=_check_no_line_break, repr=False)
    """Empty: the machine accepts only keys."""
    is_password_expired: bool = False
    """Its user must choose another password at the next login (only under ``bwrap``)."""
    hostname: str = field(validator=_match_validator(_HOSTNAME_PATTERN))
    data: str = field(validator=_check_single_line)
    """Key of the persistent disk: the same key has the same files and host key at the next boot."""
    python: Literal["python3", "python2"] = "python3"
    """What plain ``python`` is; ``python3`` is always the real one."""
    stop_scripts: tuple[str, ...] = field(default=(), validator=_all_match_validator(_SCRIPT_PATTERN))
    """``~/name``, or absolute paths outside the system folders (only under ``bwrap``); running one stops the machine.
    """
    missing: tuple[str, ...] = field(default=(), validator=_all_match_validator(_PROGRAM_PATTERN))
    """Programs that are missing until ``apt-get install`` installs them."""
    disk_bytes: int | None = None
    """Size of the disk; writing beyond it fails with ENOSPC. None: unlimited."""
    port: int = 0
    """The TCP port to use; 0: any free one."""
    login_shell: str = field(default="/bin/bash", validator=_match_validator(_SHELL_PATTERN))
    """Absolute path of its user's login shell on the host."""
    sshd_options: tuple[str, ...] = field(default=(), validator=_check_options)
    """Lines of its sshd_config, in place of the usual ones of the same name (only under ``bwrap``)."""
    authorized_keys: tuple[str, ...] = field(default=(), validator=_check_key_lines)
    """Lines that its user's authorized_keys file has at boot, beside those that are on the disk already."""


@define(eq=False, kw_only=True)
class BootedMachine:
    """A booted machine. Its port stays the same while it runs."""

    id: str
    host: str
    port: int
    spec: MachineSpec
    host_key: str
    """Public key line, ``ssh-ed25519 AAAA...``, without a comment."""
    home: str
    """The home folder as its shell sees it."""
    proxy: FaultProxy = field(repr=False)
    """The proxy in front of the machine: set ``proxy.plan`` to slow, stall or cut its connections."""
    alive: bool = True
    is_frozen: bool = False
    is_full: bool = False
    hidden_programs: set[str] = field(factory=set)


class MachineDriver(ABC):
    """Boots and kills machines. Used from one event loop; nothing that it starts outlives its process."""

    name: str
    fallback_reason: str = ""
    """Why this driver was chosen instead of a better one; empty if it was the requested one."""

    @abstractmethod
    async def boot(self, spec: MachineSpec, on_stop: StopCallback | None = None) -> BootedMachine:
        """Boot a machine and return it once it accepts logins.

        When a stop script runs inside, ``on_stop(machine id)`` is awaited, then the machine is killed.

        Raises ``DiskInUse`` if another machine uses that disk, ``OSError`` if the requested port is taken, else
        ``BootFailed`` with the tail of the machine's log.
        """

    @abstractmethod
    async def kill(self, machine_id: str) -> None:
        """Power off: every process ends at once, detached sessions too. Does nothing if the machine is gone."""

    @abstractmethod
    async def freeze(self, machine_id: str, frozen: bool) -> None:
        """Freeze or thaw the machine; while frozen it accepts no connections and sends nothing.

        Does nothing if it is gone.
        """

    @abstractmethod
    async def refuse_connections(self, machine_id: str, refused: bool) -> None:
        """Refuse new connections, or accept them again; open ones stay. Does nothing if it is gone."""

    @abstractmethod
    async def add_authorized_key(self, machine_id: str, line: str) -> None:
        """Let a key in from now on, also at later boots from the same disk. Does nothing if the machine is gone.

        ``line``: of an authorized_keys file; raises ``ValueError`` if it is none, and ``OSError`` if the machine's user
        put something else in the file's place.
        """

    @abstractmethod
    async def change_host_key(self, machine_id: str) -> None:
        """Give the machine a new host key and cut its connections, as if it was reinstalled; files and processes stay.

        Does nothing if it is gone.
        """

    @abstractmethod
    async def hide_program(self, machine_id: str, program: str, hidden: bool) -> None:
        """Take a program out of the PATH of all later commands, or put it back. Does nothing if it is gone.

        Raises `UsageError` if the machine has no such program.
        """

    @abstractmethod
    async def fill_disk(self, machine_id: str, full: bool) -> None:
        """Make the disk full, or undo that. Does nothing if it is gone.

        Raises `UsageError` if the driver cannot do that for this machine.
        """

    @abstractmethod
    async def cut_connections(self, machine_id: str) -> int:
        """Reset every open connection; processes and detached sessions stay. Return how many were cut."""

    @abstractmethod
    async def delete_disk(self, data: str) -> None:
        """Delete a disk; does nothing if there is none. Raises ``DiskInUse`` if a machine uses it."""

    @abstractmethod
    def list_machines(self) -> list[BootedMachine]:
        """Return the machines that are on."""

    @abstractmethod
    def list_processes(self, machine_id: str) -> list[int]:
        """Return the ids of all processes of the machine, including the supervisor's; empty if it is gone."""

    @abstractmethod
    async def close(self) -> None:
        """Kill all machines; the driver cannot boot any more afterwards."""


class MachineError(RuntimeError):
    """A machine could not be booted."""


class DiskInUse(MachineError):
    """Another running machine uses that disk."""


class BootFailed(MachineError):
    """The machine did not boot; the message holds the end of its log."""
