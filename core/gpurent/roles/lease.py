"""Providers: services that rent machines, by an API or on pages in the user's browser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from enum import Enum

from attrs import field, frozen

from gpurent.domain.access import AccessSource, Endpoint
from gpurent.domain.evidence import Absent, Known, Unknown
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money, UnitPrice
from gpurent.domain.offer import Bill, Offer, Order, Payment, Requirements
from gpurent.domain.question import Mail
from gpurent.domain.secret import Secret
from gpurent.errors import UnavailableError
from gpurent.locale import _
from gpurent.terminal_text import NO_TEXT, ForeignText, to_foreign_texts


class LeaseProvider(ABC):
    """A service that rents machines. No call waits for a change of state; core waits and polls."""

    @abstractmethod
    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        """Return what is for rent; at least what meets the requirements.

        Core compares each offer with the requirements itself, and leaves out what is taken, too small or not the
        machine that was named: return the whole list, or let the service search. What the provider has to heed is what
        changes the price or the order: ``disk`` and ``gpus`` where they are sold by size and number, ``spot`` and
        ``bid`` (`Offer.spot`, and the price is the bid), ``image`` if not every machine has it. Offers keep their
        ``key`` and order from call to call.

        Raises `UnexpectedResponse` for a response of an unknown format; a list that is not complete is `Unknown`.
        """

    @abstractmethod
    async def reserve_lease(self, order: Order) -> Lease:
        """Order a machine; free of charge. Idempotent on ``order.key``.

        NEW: returns a lease that is REQUESTED (not yet payable) or PAYABLE with ``pending.bill``. SWITCH and RENEW:
        ``order.onto`` is the `Lease.ref` of an existing lease; core takes over only ``pending`` of the returned lease.
        The lease has the offer as it is now: core compares a metered price with the quote.
        Raises `SoldOut` if someone else has rented the machine meanwhile.
        """

    @abstractmethod
    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        """Report the payment to the provider; starts the billing. Idempotent on ``lease.pending.key``.

        ``lease.pending.sent_at`` is None in the first call; later, an earlier request may have taken effect. Returns
        with ``pending`` still set (``paid`` true) while the provider has not counted the payment: core calls again.
        ``pending`` None: done. A NEW or SWITCH lease is then PROVISIONING or READY; a RENEW has changed
        ``expires_at``. Raises `PaidTooLate` if the payment window was missed.
        """

    @abstractmethod
    async def refresh_lease(self, lease: Lease) -> Lease | Absent:
        """Query the lease once, without waiting; follows ``ref`` and ``pending``, so that a switch is noticed.

        Returns `Absent` for a complete answer that lacks it; raises `UnexpectedResponse` for one that is not
        understood. A lease is over only if the provider says so by name.
        """

    @abstractmethod
    async def release_lease(self, lease: Lease) -> Lease | Absent:
        """Release the machine, or cancel an unpaid order. Idempotent: no error if it has ended already.

        Core calls again until the lease is over and nothing is pending. Returns a lease that is over if the service
        confirms the end, one that is RELEASING if it has begun, and `Absent` if it says by name that it has no such
        machine, or its complete answer lacks it. Raises `LeaseError` if the service refuses by name, `UnavailableError`
        or `UnexpectedResponse` for an answer that says nothing; their ``spent`` is YES, as the machine costs money. An
        order that may have created a machine is not cancelled before that is known. May ask for a code sent by e-mail.
        """

    @abstractmethod
    async def list_leases(self) -> Known[Lease] | Unknown:
        """Return all leases of the account at the provider, whether ordered by us or not; their ``id`` is empty.

        Those that are over may be left out. ``label`` is what the service shows. If it does not tell the hardware,
        `Lease.offer` has an empty `Hardware`: core keeps the ordered offer for a lease that it knows, and shows no
        hardware for another.
        """


class SupportsStaging(ABC):
    """Capability: upload to a cheaper staging machine first, which the wanted machine then replaces."""

    @abstractmethod
    def make_staging_order(self, order: Order) -> Order:
        """Return the order of the staging machine for ``order``; pure."""


class SupportsDowngrade(ABC):
    """Capability: replace a machine by its staging machine, with its files. An upgrade undoes it."""

    @abstractmethod
    def make_downgrade_order(self, lease: Lease, key: str) -> Order:
        """Return the SWITCH order that replaces the machine of ``lease``; pure."""


class SupportsRenewal(ABC):
    """Capability: buy more time for a prepaid lease."""

    @abstractmethod
    def make_renewal_order(self, lease: Lease, term: timedelta, key: str) -> Order:
        """Return the RENEW order that adds ``term``; pure."""


class SupportsStop(ABC):
    """Capability: shut a machine down with its files, until `SupportsRestart` or `SupportsStart` starts it again."""

    @abstractmethod
    async def stop_lease(self, lease: Lease) -> Lease | Absent:
        """Shut the machine down; idempotent, as `LeaseProvider.release_lease`.

        Once that is done, the lease is KEPT if it is over by that, and costs nothing; STOPPED if the machine is still
        rented and costs `Offer.stopped_price`, which may be 0 until `Lease.kept_until`.
        """


class SupportsStart(ABC):
    """Capability: start the machine of a STOPPED lease again, as the same lease."""

    @abstractmethod
    async def start_lease(self, lease: Lease) -> Lease | Absent:
        """Start the machine, which then costs its full price; idempotent, and it does not wait for the machine.

        The lease is PROVISIONING or READY once the start has begun. Raises `SoldOut` if somebody else has the GPUs:
        the lease is STOPPED as before, and nothing starts it later by itself.
        """


class SupportsStopTimer(ABC):
    """Capability: the service itself shuts a machine down at a set time, also while the user's computer is off.

    What the machine costs from then on, and for how long its files are kept, is as after `SupportsStop.stop_lease`.
    """

    @abstractmethod
    async def set_stop_time(self, lease: Lease, at: datetime | None) -> datetime | None:
        """Have the service shut the machine down once, at ``at``, and at no other time; None: never.

        Returns the moment that the service will act on: not before ``at``, and at most about an hour later, where it
        has steps of its own. Idempotent. None for a machine that can have no timer, and where there is no machine any
        more. Returns a time only if the service confirmed it; raises `UnexpectedResponse` if it refuses.
        """


class SupportsRefundQuote(ABC):
    """Capability: the service says what it gives back if a lease is released now."""

    @abstractmethod
    async def quote_refund(self, lease: Lease) -> Money:
        """Return what would come back to the account now: the refund and the deposits, together. Changes nothing.

        Zero if nothing comes back, and for a lease that is over. Raises `UnexpectedResponse` where the service says
        nothing.
        """


class SupportsPublicKeys(ABC):
    """Capability of a provider whose machines are reached by keys: let a key into a machine that exists already."""

    @abstractmethod
    def set_public_key(self, lease: Lease, public_key: str) -> Lease:
        """Return the lease with the key that its machine has to accept, as a line of an authorized_keys file; pure.

        `LeaseProvider.refresh_lease` lets it in.
        """


class SupportsInterruption(ABC):
    """Capability: machines that cost a bid, and are interrupted while somebody pays more (`Requirements.spot`).

    Such a lease is INTERRUPTED meanwhile, if the service says so; it starts again by itself.
    """

    @abstractmethod
    async def change_bid(self, lease: Lease, price: UnitPrice) -> Lease | Absent:
        """Set what the machine costs from now on; idempotent. The lease's offer then has the new price."""


class SupportsRestart(ABC):
    """Capability: restart a stopped machine with its kept files."""

    @abstractmethod
    def make_restart_order(self, lease: Lease, key: str) -> Order:
        """Return the NEW order that restarts a KEPT lease with its files; pure."""


@frozen(kw_only=True)
class MailBinding:
    """An e-mail address being bound to the account. ``bill`` is set when the provider charges for it."""

    email: str
    since: datetime
    bill: Bill | None = None
    done: bool = False


class SupportsMailBinding(ABC):
    """Capability: the provider sends codes and machine access by e-mail, so an address must be bound first."""

    @abstractmethod
    async def get_bound_email(self) -> str:
        """Return the bound address, empty if there is none."""

    @abstractmethod
    async def request_binding(self, email: str, key: str) -> MailBinding:
        """Let the provider mail a code, read it (`PluginContext.answer_challenge`), and return what has to be paid."""

    @abstractmethod
    async def complete_binding(self, binding: MailBinding, payment: Payment | None) -> MailBinding:
        """Complete the binding, with a single request; ``done`` is false while the provider still verifies."""


class SupportsMailChange(SupportsMailBinding):
    """Capability: bind another address in place of the bound one, which stays bound until that is complete."""

    @abstractmethod
    async def request_mail_change(self, email: str, key: str) -> MailBinding:
        """As `request_binding`, while another address is bound."""

    @abstractmethod
    async def complete_mail_change(self, binding: MailBinding, payment: Payment | None) -> MailBinding:
        """As `complete_binding`; ``done`` once the new address is bound."""


class ManualTask(Enum):
    """What the user has to do on one of the provider's pages."""

    RENT = "rent"
    RELEASE = "release"
    TOP_UP = "top-up"


@frozen(kw_only=True)
class TaskInstructions:
    """What to do on a page. ``url`` is on one of `LeaseEntry.web_hosts`; ``steps`` are in the user's language.

    ``sender`` and ``subject`` describe the mail that the task causes, empty if none. ``code`` is a pattern with one
    group for a code in that mail, which the user then enters on the page.
    """

    url: str = field(default=NO_TEXT, converter=ForeignText)
    steps: tuple[ForeignText, ...] = field(default=(), converter=to_foreign_texts)
    sender: str = ""
    subject: str = ""
    code: str = ""


@frozen(kw_only=True)
class MachineAccess:
    """How to reach a machine, from a mail or a page. ``ref`` is the provider's order ID, where it is stated.

    ``source`` is where it came from; core sets it.
    """

    endpoint: Endpoint
    password: Secret | None = None
    ref: str = field(default=NO_TEXT, converter=ForeignText)
    source: AccessSource = AccessSource()


class AssistedRental(ABC):
    """Capability: the user rents, stops and tops up on the provider's pages; core does everything else as usual."""

    @property
    @abstractmethod
    def is_manual(self) -> bool:
        """Whether the user has to rent manually now (because of a setting, or because the API is unknown)."""

    @abstractmethod
    def get_instructions(self, task: ManualTask, lease: Lease | None = None) -> TaskInstructions:
        """Return the page to open for ``task`` and the steps to take there; pure."""

    def parse_access(self, mail: Mail) -> MachineAccess | None:
        """Return the access in a mail from the instructions' sender, parsed strictly; None if there is none. Pure."""
        return None


class ManualProvider(LeaseProvider, AssistedRental):
    """Base of a provider that has only pages and no API: just `get_instructions` is left to implement."""

    @property
    def is_manual(self) -> bool:
        return True

    def _no_api_error(self) -> UnavailableError:
        return UnavailableError(
            _("this provider has no API"), hint='gpurent adopt --provider PROVIDER "ssh USER@HOST -p PORT"'
        )

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
