"""Who the user is to a provider, and where the money is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.offer import Bill, Known, Payment, Unknown
from gpurent.domain.receipt import Charge
from gpurent.domain.secret import Secret


@frozen(kw_only=True)
class Login:
    """``account`` names the user to the provider (a name, a wallet address); ``token`` is what proves it."""

    account: str
    token: Secret
    expires_at: datetime | None = None


class Authenticator(ABC):
    """Turns declared fields into a login."""

    @abstractmethod
    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        """Log in with the entry's fields by name. Refused is an `AuthError`. Spends nothing."""

    @abstractmethod
    async def is_valid(self, login: Login) -> bool:
        """Whether ``login`` still works; one look."""


class SupportsEnrolment(ABC):
    """Capability of an authenticator: the first use makes the key that is the account."""

    @abstractmethod
    async def create_credentials(self) -> Mapping[str, Secret]:
        """Make new credentials, fit to be given to `login`. The user is told to keep them; spends nothing."""


@frozen(kw_only=True)
class Balance:
    """``available`` can be spent now; ``held`` is locked as deposits, where the provider says so."""

    available: Money
    at: datetime
    held: Money | None = None


@frozen(kw_only=True)
class TopUp:
    """How money gets in: ``steps`` in words, the page to open, what to encode as a QR code, and advice."""

    steps: tuple[str, ...]
    url: str = ""
    qr: str = ""
    advice: str = ""


@frozen(kw_only=True)
class TopUpAdvice:
    """``money`` is how much to top up now; ``why`` in words."""

    money: Money
    why: str


@frozen(kw_only=True)
class InvoiceInfo:
    """``ready``: one can be asked for now. ``spent`` by the account's books, ``needed`` before the first one can be
    had, ``open`` what an invoice would be over. ``steps`` in words, for who asks on the ``url``'s page.
    """

    ready: bool
    spent: Money
    needed: Money
    open: Money
    steps: tuple[str, ...] = ()
    url: str = ""


class BillingProvider(ABC):
    """An account or a wallet."""

    @abstractmethod
    async def get_balance(self) -> Balance:
        """What is there now; one look."""

    @abstractmethod
    async def get_rate(self, quote: Currency) -> Rate:
        """What one unit of this account's currency is worth in ``quote``; always dated. None known: `MoneyError`."""

    @abstractmethod
    async def create_top_up(self, money: Money) -> TopUp:
        """How the user brings ``money`` in. Never pays by itself."""

    async def suggest_top_up(self) -> TopUpAdvice | None:
        """How much to top up now; None when this account has no advice to give, or enough is there."""
        return None

    @abstractmethod
    async def pay_bill(self, bill: Bill) -> Payment:
        """SPENDS ``bill.amount``. Idempotent on ``bill.key``: called again, it gives the first payment.

        Where the price floats until the very payment, the bill is the most and the payment may be less; never more.
        A bill of zero gives a payment of zero. Too little there is a `MoneyError` with ``spent`` no.
        """

    @abstractmethod
    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        """Every movement for ``lease`` so far, by the account's own books, oldest first."""


class SupportsStatement(ABC):
    """Capability: the whole account's movements, those that belong to no lease too."""

    @abstractmethod
    async def get_statement(self) -> Known[Charge] | Unknown:
        """Everything that the account's own books list, oldest first; money that came in is a TOP_UP.

        A movement that `BillingProvider.list_charges` also tells of has the same ``ref`` here.
        """


class SupportsInvoices(ABC):
    """Capability: invoices."""

    @property
    def invoice_fields(self) -> Sequence[tuple[str, str]]:
        """What `request_invoice` has to be told: name and label of each."""
        return ()

    @abstractmethod
    async def get_invoice_info(self) -> InvoiceInfo:
        """How it stands, by the account's own books; one look."""

    @abstractmethod
    async def request_invoice(self, money: Money, answers: Mapping[str, str]) -> str:
        """Ask for one over ``money``; gives the provider's number of it. Too much, or too early: `MoneyError`."""


class SupportsWithdrawal(ABC):
    """Capability: cash out."""

    @abstractmethod
    async def withdraw(self, money: Money) -> TopUp:
        """How the user gets ``money`` out; the same shape as a way in. Never sends anything by itself."""
