"""A shop without an API: pages for the user's browser, words for what to click there, mails to read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.lease import Lease
from gpurent.domain.mail import Mail
from gpurent.domain.offer import Known, Offer, Requirements, Unknown
from gpurent.domain.order import Order, Payment
from gpurent.domain.secret import Secret
from gpurent.errors import UnavailableError
from gpurent.locale import _
from gpurent.roles.lease import LeaseProvider


class ManualTask(Enum):
    """What the user is sent to a page for."""

    RENT = "rent"
    RELEASE = "release"
    TOP_UP = "top-up"


@frozen(kw_only=True)
class Instructions:
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
class Access:
    """How a machine is reached, as a mail or a page says it. ``ref`` is the shop's order, where it is said."""

    endpoint: Endpoint
    password: Secret | None = None
    ref: str = ""


class AssistedRental(ABC):
    """Capability: the user rents, stops and tops up on the shop's own pages; everything between works as ever."""

    @property
    @abstractmethod
    def by_hand(self) -> bool:
        """Whether renting is the user's to do now (a setting, or an API that is not known)."""

    @abstractmethod
    def guide(self, errand: ManualTask, lease: Lease | None = None) -> Instructions:
        """Where to go and what to do there; pure."""

    def access(self, mail: Mail) -> Access | None:
        """The access in a mail of the guide's sender, by a strict grammar; None: it says none. Pure."""
        return None


class ManualProvider(LeaseProvider, AssistedRental):
    """Base of a shop that has nothing but pages: only `guide` is left to write."""

    @property
    def by_hand(self) -> bool:
        return True

    def _no(self) -> UnavailableError:
        return UnavailableError(_("this provider has no API"), hint='gpurent adopt "ssh user@host -p port"')

    async def offers(self, wish: Requirements) -> Known[Offer] | Unknown:
        return Known(())

    async def reserve(self, order: Order) -> Lease:
        raise self._no()

    async def confirm(self, lease: Lease, payment: Payment) -> Lease:
        raise self._no()

    async def refresh(self, lease: Lease) -> Lease:
        return lease

    async def release(self, lease: Lease) -> Lease:
        raise self._no()

    async def leases(self) -> Known[Lease] | Unknown:
        return Unknown(self._no().message)
