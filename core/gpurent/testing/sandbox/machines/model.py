"""What a fake rented server is, and what raises and ends it."""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Literal

from attrs import Attribute, define, field, frozen

from gpurent.testing.sandbox.fault_proxy import FaultProxy

StopCallback = Callable[[str], Awaitable[None]]
"""Awaited with the machine's id when one of its stop scripts is run inside."""

DriverName = Literal["embedded", "bwrap", "auto"]

_USER_PATTERN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_HOSTNAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")
_PROGRAM_PATTERN = re.compile(r"[a-z0-9][a-z0-9.+_-]*")
_SCRIPT_PATTERN = re.compile(
    r"(?!/(usr|bin|sbin|lib|etc|dev|proc)/)(~|(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)/[A-Za-z0-9_][A-Za-z0-9._-]*"
)


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


def _check_single_line(_: object, attribute: "Attribute[str]", value: str) -> None:
    if not value or "\n" in value:
        raise ValueError(f"{attribute.name} must be one line, and not empty")


@frozen(kw_only=True)
class MachineSpec:
    """A machine as ordered. Raises ``ValueError`` for names that no real machine could have."""

    user: str = field(validator=_match_validator(_USER_PATTERN))
    """Login name: ``mist``, ``root``."""
    password: str = field(validator=_check_single_line, repr=False)
    hostname: str = field(validator=_match_validator(_HOSTNAME_PATTERN))
    data: str = field(validator=_check_single_line)
    """Key of the persistent disk: same key, same files and same host key at the next boot."""
    python: Literal["python3", "python2"] = "python3"
    """What plain ``python`` is; ``python3`` is always real."""
    stop_scripts: tuple[str, ...] = field(default=(), validator=_all_match_validator(_SCRIPT_PATTERN))
    """``~/name``, or absolute paths outside the system's folders (these exist under ``bwrap`` only);
    running one stops the machine."""
    missing: tuple[str, ...] = field(default=(), validator=_all_match_validator(_PROGRAM_PATTERN))
    """Programs that are not there until ``apt-get install`` brings them."""
    disk_bytes: int | None = None
    """Size of the disk; beyond it, writing fails with ENOSPC. None: as much as there is."""
    port: int = 0
    """The wished TCP port; 0: any free one."""


@define(eq=False, kw_only=True)
class BootedMachine:
    """A booted machine. Its port stays the same as long as it lives."""

    id: str
    host: str
    port: int
    spec: MachineSpec
    host_key: str
    """Public line, ``ssh-ed25519 AAAA...``, without a comment."""
    home: str
    """The home folder as its shell sees it."""
    proxy: FaultProxy = field(repr=False)
    """The wire to the machine: set ``line.plan`` to make it slow, stalled or cut."""
    alive: bool = True


class MachineDriver(ABC):
    """Raises and ends machines. Used from one event loop; nothing that it starts outlives its process."""

    name: str
    why: str = ""
    """Why this driver and not a better one; empty when it is the one that was asked for."""

    @abstractmethod
    async def boot(self, spec: MachineSpec, on_stop: StopCallback | None = None) -> BootedMachine:
        """A machine that accepts logins. When a stop script is run inside, ``on_stop(machine id)`` is
        awaited, then the machine is killed.

        Raises ``DiskInUse`` when another machine lives on that disk, ``OSError`` when the wished port is
        taken, ``BootFailed`` with the tail of the machine's own log otherwise.
        """

    @abstractmethod
    async def kill(self, machine_id: str) -> None:
        """Power off: everything in it ends at once, detached sessions too. Silent if it is gone."""

    @abstractmethod
    async def freeze(self, machine_id: str, frozen: bool) -> None:
        """A hung machine: it accepts nothing and answers nothing, until thawed. Silent if it is gone."""

    @abstractmethod
    async def cut_connections(self, machine_id: str) -> int:
        """Reset every open connection; processes and detached sessions stay. Returns how many were cut."""

    @abstractmethod
    async def delete_disk(self, data: str) -> None:
        """Delete a disk. Silent if there is none; raises ``DiskInUse`` when a machine lives on it."""

    @abstractmethod
    def list_machines(self) -> list[BootedMachine]:
        """The machines that are on."""

    @abstractmethod
    def list_processes(self, machine_id: str) -> list[int]:
        """Process ids of all that lives in the machine, its own keeper included; empty if it is gone."""

    @abstractmethod
    async def close(self) -> None:
        """Kill all machines; the driver can boot no more."""


class MachineError(RuntimeError):
    """A machine could not be raised."""


class DiskInUse(MachineError):
    """Another living machine has that disk."""


class BootFailed(MachineError):
    """The machine did not come up; the message holds the end of its log."""
