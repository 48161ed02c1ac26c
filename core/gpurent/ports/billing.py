"""Where the money is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime

from attrs import frozen

from gpurent.model.lease import Lease
from gpurent.model.money import Currency, Money, Rate
from gpurent.model.offer import Known, Unknown
from gpurent.model.order import Bill, Payment
from gpurent.model.receipt import Charge


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


class BillingProvider(ABC):
    """An account or a wallet."""

    @abstractmethod
    async def balance(self) -> Balance:
        """What is there now; one look."""

    @abstractmethod
    async def rate(self, quote: Currency) -> Rate:
        """What one unit of this account's currency is worth in ``quote``; always dated. None known: `MoneyError`."""

    @abstractmethod
    async def top_up(self, money: Money) -> TopUp:
        """How the user brings ``money`` in. Never pays by itself."""

    @abstractmethod
    async def pay(self, bill: Bill) -> Payment:
        """SPENDS ``bill.amount``. Idempotent on ``bill.key``: called again, it gives the first payment.

        Where the price floats until the very payment, the bill is the most and the payment may be less; never more.
        A bill of zero gives a payment of zero. Too little there is a `MoneyError` with ``spent`` no.
        """

    @abstractmethod
    async def charges(self, lease: Lease) -> Known[Charge] | Unknown:
        """Every movement for ``lease`` so far, by the account's own books, oldest first."""


class Statement(ABC):
    """Capability: the whole account's movements, those that belong to no lease too."""

    @abstractmethod
    async def statement(self) -> Known[Charge] | Unknown:
        """Everything that the account's own books list, oldest first; money that came in is a TOP_UP.

        A movement that `BillingProvider.charges` also tells of has the same ``ref`` here.
        """


class Invoicing(ABC):
    """Capability: invoices."""

    @abstractmethod
    async def invoice(self) -> tuple[bool, str]:
        """Whether one can be had now, and in words why or how."""


class Withdrawing(ABC):
    """Capability: cash out."""

    @abstractmethod
    async def withdraw(self, money: Money) -> TopUp:
        """How the user gets ``money`` out; the same shape as a way in."""
