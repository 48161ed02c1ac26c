"""Simulators: fake services of providers for the sandbox."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any, Literal, Protocol

from attrs import frozen

from gpurent.domain.money import Money
from gpurent.locale import N_, _
from gpurent.ports.system import Clock


class Evidence(Enum):
    """How we know that a route behaves like this.

    OBSERVED: a recording of the live service, kept beside the simulator, shows it (`Observation`). SOURCE: read in
    source code, of the service or of a client that worked with it. DOCUMENTED: by the service. ASSUMED: none of these.
    """

    OBSERVED = "observed"
    SOURCE = "source"
    DOCUMENTED = "documented"
    ASSUMED = "assumed"

    @property
    def title(self) -> str:
        """The evidence in the user's language."""
        return _(_EVIDENCE_TITLES[self])


_EVIDENCE_TITLES = {
    Evidence.OBSERVED: N_("observed"),
    Evidence.SOURCE: N_("from source code"),
    Evidence.DOCUMENTED: N_("documented"),
    Evidence.ASSUMED: N_("assumed"),
}


@frozen(kw_only=True)
class Observation:
    """The recording that shows a route: the lines of `gpurent --record` in ``file``, in the package's ``observed/``.

    ``recorded_on`` and ``version`` (of the plugin) are those of its first line, ``sha256`` is the file's digest.
    """

    file: str
    sha256: str
    recorded_on: date
    version: str


@frozen(kw_only=True)
class SimulatorRoute:
    """One route of a simulator, such as ``POST /login/``.

    Where all actions have one address, each is a route as well, so that it states its evidence: ``POST /?Action=Stop``.

    Raises ``ValueError`` unless the route is OBSERVED and says by what, or is neither.
    """

    method: str
    path: str
    evidence: Evidence
    note: str = ""
    observation: Observation | None = None

    def __attrs_post_init__(self) -> None:
        if (self.evidence is Evidence.OBSERVED) != (self.observation is not None):
            raise ValueError(
                f"{self.method} {self.path}: what is observed, and nothing else, has an observation"
            )


@frozen(kw_only=True)
class SimulatorLedgerEntry:
    """One line of the simulator's own ledger. ``amount`` is signed: negative leaves the user's account.

    ``account`` is what `Login.account` says, and differs from sandbox to sandbox. ``kind`` is the service's own word
    for the line (``usage``, ``top-up``), shown by `gpurent sandbox status` and compared with nothing. ``ref`` says what
    it is about, for whoever reads it: the machine (`Lease.ref`) for what one cost, else the payment.
    """

    at: datetime
    account: str
    kind: str
    amount: Money
    ref: str


class SandboxMachine(Protocol):
    """A running machine of the sandbox."""

    @property
    def id(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class SandboxMachines(Protocol):
    """The sandbox's machines, for a simulator."""

    def find_free_port(self) -> int:
        """Return a port for `boot`, for a service that shows a machine's port before anything listens on it."""

    async def boot(
        self,
        *,
        user: str,
        password: str = "",
        hostname: str,
        data: str,
        authorized_keys: tuple[str, ...] = (),
        port: int = 0,
        python: Literal["python3", "python2"] = "python3",
        stop_scripts: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        disk_bytes: int | None = None,
        on_stop: Callable[[str], Awaitable[None]] | None = None,
    ) -> SandboxMachine:
        """Boot a machine with the persistent disk ``data``; ``on_stop(machine_id)`` is awaited on a stop script.

        An empty password: it accepts only keys. ``authorized_keys``: lines of the user's authorized_keys file, beside
        those that are on the disk already. ``port``: its SSH port; 0: any free one. Raises ``OSError`` if it is taken.
        """

    async def add_authorized_key(self, machine_id: str, line: str) -> None:
        """Let a key in from now on; no error if the machine is gone. Raises ``ValueError`` if it is not one line."""

    async def kill(self, machine_id: str) -> None:
        """Stop all its processes at once; no error if it is gone already. The disk is kept."""

    async def delete_disk(self, data: str) -> None:
        """Delete the disk ``data``."""


class SendMail(Protocol):
    """Delivers mail in the sandbox."""

    async def __call__(self, *, to: str, sender: str, subject: str, text: str) -> None: ...


@frozen(kw_only=True)
class SimulatorContext:
    """What the sandbox gives to a simulator. ``urls``: base URLs of all simulators by name, set before any request.

    ``machine_count``: how many machines are free at the beginning.
    """

    clock: Clock
    machines: SandboxMachines
    send_mail: SendMail
    urls: Mapping[str, str]
    machine_count: int
    settings: Mapping[str, str]


class ProviderSimulator(ABC):
    """A fake service with a ledger of its own, which never trusts the client."""

    @abstractmethod
    def get_app(self) -> Any:
        """Return the ASGI application that serves it."""

    @abstractmethod
    async def tick(self) -> None:
        """Process everything due by the clock's current time: bill, expire, confirm. Exact even if called rarely.

        The sandbox calls it on its own, also during a request: hold a lock where both change the same state.
        """

    @abstractmethod
    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        """Return the simulator's ledger, oldest first."""

    @abstractmethod
    def list_routes(self) -> Sequence[SimulatorRoute]:
        """Return every route with its evidence."""

    @abstractmethod
    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        """Return the plugin settings, by name, that make the plugin use this simulator."""

    def make_login_fields(self) -> Mapping[str, str]:
        """Return what the sandbox's user enters at the login, by field; empty if there is nothing to enter."""
        return {}

    @abstractmethod
    def list_billed_machines(self) -> Sequence[str]:
        """Return the simulator's references of the machines that cost money now."""


@frozen(kw_only=True)
class ManualAccess:
    """What the provider's page or mail shows to a user who rented manually: the SSH command and the password."""

    ssh_command: str
    password: str
    ref: str


class SupportsManualRental(ABC):
    """Capability of a simulator: its pages can be used manually, even when its API is switched off (``api = off``)."""

    @abstractmethod
    async def rent_manually(self) -> ManualAccess:
        """Do what a user does on the page to rent a machine, including the payment."""

    @abstractmethod
    async def stop_manually(self, ref: str) -> None:
        """Do what a user clicks to end it. No error if it has ended already."""


class DiscrepancyKind(Enum):
    """What is wrong in a service's books: money for nothing, two orders for one wish, or money that it still owes."""

    UNUSED_PAYMENT = "unused-payment"
    DOUBLE_ORDER = "double-order"
    MISSING_REFUND = "missing-refund"


@frozen(kw_only=True)
class Discrepancy:
    """One finding of a simulator's audit. ``ref`` is its own reference; ``amount`` is positive."""

    kind: DiscrepancyKind
    account: str
    ref: str
    amount: Money


class SupportsFunding(ABC):
    """Capability of a simulator: an account of its own that needs no person, with money in it."""

    @abstractmethod
    def get_login_fields(self) -> Mapping[str, str]:
        """Return the fields of `gpurent login`, by name; empty if the plugin makes a key on first use."""

    @abstractmethod
    async def add_money(self, account: str) -> Money:
        """Pay enough for many orders into ``account``, as its payment page would, and return how much."""


class SupportsSignUp(ABC):
    """Capability of a simulator: further accounts."""

    @abstractmethod
    async def sign_up(self) -> Mapping[str, str]:
        """Open one more account, without money, and return the fields of `gpurent login`, by name."""


class SupportsAudit(ABC):
    """Capability of a simulator: what does not add up in its own books, whatever its clients believe."""

    @abstractmethod
    async def list_discrepancies(self) -> Sequence[Discrepancy]:
        """Return payments that bought nothing and were not returned, double orders, and refunds that are due."""


class SupportsPaging(ABC):
    """Capability of a simulator whose service answers lists in pages."""

    @abstractmethod
    def limit_pages(self, rows: int) -> None:
        """From now on no page of any list has more than ``rows`` rows (1 or more), whatever is asked for."""


class SupportsHiding(ABC):
    """Capability of a simulator: a list that lags behind, or is incomplete for a while."""

    @abstractmethod
    def hide_machines(self, until: datetime) -> None:
        """List no machine until then, provider time; they run on, and actions on them work."""
