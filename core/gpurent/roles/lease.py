"""Who has the machines: by an API, or on pages for the user's browser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from enum import Enum

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Bill, Known, Offer, Order, Payment, Requirements, Unknown
from gpurent.domain.question import Mail
from gpurent.domain.secret import Secret
from gpurent.errors import UnavailableError
from gpurent.locale import _


class LeaseProvider(ABC):
    """A shop. Every call returns at once; core waits and polls."""

    @abstractmethod
    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        """What can be rented now and fits. A page in an unknown shape is `UnexpectedResponse`."""

    @abstractmethod
    async def reserve_lease(self, order: Order) -> Lease:
        """Ask for a machine; free of charge. Idempotent on ``order.key``.

        NEW: a lease REQUESTED (not yet payable) or PAYABLE with ``pending.bill``. SWITCH and EXTEND: ``order.onto`` is
        the lease's `Lease.ref`; the answer's ``pending`` belongs on that lease, core ignores the rest of it.
        Someone else has it now: `SoldOut`.
        """

    @abstractmethod
    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        """Show the payment; starts the meter. Idempotent on ``lease.pending.key``.

        Returns with ``pending`` still there (``paid`` true) while the shop has not seen the payment: core calls again.
        ``pending`` None: done; NEW and SWITCH are then PROVISIONING or READY, EXTEND has moved ``expires_at``.
        Paid after the window is `PaidTooLate`.
        """

    @abstractmethod
    async def refresh_lease(self, lease: Lease) -> Lease:
        """One look, never waits. A lease that the shop does not know is GONE only when the shop says so."""

    @abstractmethod
    async def release_lease(self, lease: Lease) -> Lease:
        """Give back (an unpaid order: cancel). Idempotent; silent when already over. May ask for a mailed code."""

    @abstractmethod
    async def list_leases(self) -> Known[Lease] | Unknown:
        """What the shop says that this account has now, ours or not; ``id`` is empty on these."""


class SupportsStaging(ABC):
    """Capability: a cheaper machine to upload on first, which the wanted one then replaces."""

    @abstractmethod
    def make_staging_order(self, order: Order) -> Order:
        """The order of the cheaper machine for ``order``; pure."""


class SupportsRenewal(ABC):
    """Capability: more time on a prepaid lease."""

    @abstractmethod
    def make_renewal_order(self, lease: Lease, term: timedelta, key: str) -> Order:
        """The EXTEND order that adds ``term``; pure."""


class SupportsRestart(ABC):
    """Capability: kept files come back with a new start."""

    @abstractmethod
    def make_restart_order(self, lease: Lease, key: str) -> Order:
        """The NEW order that starts a KEPT lease again with its files; pure."""


@frozen(kw_only=True)
class MailBinding:
    """An e-mail address being bound to the account. ``bill`` is there when the shop wants to be paid for it."""

    email: str
    since: datetime
    bill: Bill | None = None
    done: bool = False


class SupportsMailBinding(ABC):
    """Capability: the shop sends codes and access by mail, so an address must be bound first."""

    @abstractmethod
    async def get_bound_email(self) -> str:
        """The address bound now, empty if none."""

    @abstractmethod
    async def request_binding(self, email: str, key: str) -> MailBinding:
        """Ask the shop to mail a code, read it (`Host.ask`), and say what is to be paid with it."""

    @abstractmethod
    async def complete_binding(self, binding: MailBinding, payment: Payment | None) -> MailBinding:
        """Finish; one look, ``done`` false while the shop still verifies."""


class ManualTask(Enum):
    """What the user is sent to a page for."""

    RENT = "rent"
    RELEASE = "release"
    TOP_UP = "top-up"


@frozen(kw_only=True)
class TaskInstructions:
    """``url`` lies on one of the entry's `hosts`; ``steps`` in the user's language.

    ``sender`` and ``subject``: the mail that this errand brings, empty if none. ``code``: a pattern with one group for
    a code in that mail, which the user then types into the page.
    """

    url: str = ""
    steps: tuple[str, ...] = ()
    sender: str = ""
    subject: str = ""
    code: str = ""


@frozen(kw_only=True)
class MachineAccess:
    """How a machine is reached, as a mail or a page says it. ``ref`` is the shop's order, where it is said."""

    endpoint: Endpoint
    password: Secret | None = None
    ref: str = ""


class AssistedRental(ABC):
    """Capability: the user rents, stops and tops up on the shop's own pages; everything between works as ever."""

    @property
    @abstractmethod
    def is_manual(self) -> bool:
        """Whether renting is the user's to do now (a setting, or an API that is not known)."""

    @abstractmethod
    def get_instructions(self, task: ManualTask, lease: Lease | None = None) -> TaskInstructions:
        """Where to go and what to do there; pure."""

    def parse_access(self, mail: Mail) -> MachineAccess | None:
        """The access in a mail of the guide's sender, by a strict grammar; None: it says none. Pure."""
        return None


class ManualProvider(LeaseProvider, AssistedRental):
    """Base of a shop that has nothing but pages: only `guide` is left to write."""

    @property
    def is_manual(self) -> bool:
        return True

    def _no_api_error(self) -> UnavailableError:
        return UnavailableError(_("this provider has no API"), hint='gpurent adopt "ssh user@host -p port"')

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(())

    async def reserve_lease(self, order: Order) -> Lease:
        raise self._no_api_error()

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        raise self._no_api_error()

    async def refresh_lease(self, lease: Lease) -> Lease:
        return lease

    async def release_lease(self, lease: Lease) -> Lease:
        raise self._no_api_error()

    async def list_leases(self) -> Known[Lease] | Unknown:
        return Unknown(self._no_api_error().message)
