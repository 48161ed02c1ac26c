"""A provider's fake service for the sandbox."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Literal, Protocol

from attrs import frozen

from gpurent.domain.money import Money
from gpurent.ports.system import Clock


class Evidence(Enum):
    """Why we believe that a route is as it is: told by the wiki, read in a source, documented, or only assumed."""

    SEED = "seed"
    SOURCE = "source"
    DOCUMENTED = "documented"
    ASSUMED = "assumed"


@frozen(kw_only=True)
class SimulatorRoute:
    """One route of a portal: ``POST /login/``."""

    method: str
    path: str
    evidence: Evidence
    note: str = ""


@frozen(kw_only=True)
class SimulatorLedgerEntry:
    """One line of the service's own ledger. ``amount`` is signed: below zero leaves the user's account."""

    at: datetime
    account: str
    kind: str
    amount: Money
    ref: str


class SandboxMachine(Protocol):
    """A booted machine of the sandbox."""

    @property
    def id(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class SandboxMachines(Protocol):
    """The sandbox's machines as a portal sees them."""

    async def boot(
        self,
        *,
        user: str,
        password: str,
        hostname: str,
        data: str,
        python: Literal["python3", "python2"] = "python3",
        stop_scripts: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        disk_bytes: int | None = None,
        on_stop: Callable[[str], Awaitable[None]] | None = None,
    ) -> SandboxMachine:
        """Boot with the persistent disk ``data``; ``on_stop(machine id)`` is awaited when a stop script runs."""

    async def kill(self, machine_id: str) -> None:
        """End everything in it at once; silent when already gone. The disk stays."""

    async def delete_disk(self, data: str) -> None:
        """Delete a disk."""


class SendMail(Protocol):
    """The sandbox's postman."""

    async def __call__(self, *, to: str, sender: str, subject: str, text: str) -> None: ...


@frozen(kw_only=True)
class SimulatorContext:
    """What the sandbox gives to a portal. ``urls``: base URLs of all portals by name, filled before any request."""

    clock: Clock
    machines: SandboxMachines
    send_mail: SendMail
    urls: Mapping[str, str]
    machine_count: int
    settings: Mapping[str, str]


class ProviderSimulator(ABC):
    """The fake service itself; keeps its own books and never trusts the client."""

    @abstractmethod
    def get_app(self) -> Any:
        """The ASGI application that serves it."""

    @abstractmethod
    async def tick(self) -> None:
        """Let time pass up to the clock's now: bill, expire, confirm. Exact however seldom it is called.

        The sandbox calls it on its own, also while a request is being answered: hold a lock where both change the same.
        """

    @abstractmethod
    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        """The service's own books, oldest first."""

    @abstractmethod
    def list_routes(self) -> Sequence[SimulatorRoute]:
        """Every route with its evidence."""

    @abstractmethod
    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        """The plugin's settings (by their names) that point it at this portal."""

    @abstractmethod
    def list_billed_machines(self) -> Sequence[str]:
        """Machines that cost money now, by the service's own reference."""


@frozen(kw_only=True)
class ManualAccess:
    """What the site's page or mail tells a person who rented there: the SSH line, and the password."""

    ssh_command: str
    password: str
    ref: str


class SupportsManualRental(ABC):
    """Capability of a portal: its pages are there for a person, also when its API is switched off (``api = off``)."""

    @abstractmethod
    async def rent_manually(self) -> ManualAccess:
        """What a person does on the site to get a machine, money included."""

    @abstractmethod
    async def stop_manually(self, ref: str) -> None:
        """What a person clicks to end it. Silent when it has ended."""
