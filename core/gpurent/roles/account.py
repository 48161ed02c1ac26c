"""The user's account at a provider: login, balance, payments, invoices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from attrs import field, frozen

from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.offer import Bill, Metered, Payment
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.domain.secret import Secret
from gpurent.errors import MoneyError, Spent
from gpurent.locale import _
from gpurent.ports.system import Clock
from gpurent.terminal_text import NO_TEXT, ForeignText, to_foreign_texts


@frozen(kw_only=True)
class Login:
    """``account`` identifies the user to the provider (a name, a wallet address); ``token`` proves it."""

    account: str = field(converter=ForeignText)
    token: Secret
    expires_at: datetime | None = None


class Authenticator(ABC):
    """Logs in with the fields that its entry declares."""

    @abstractmethod
    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        """Log in with the values of the entry's fields, by name; raises `AuthError` if rejected. Spends nothing."""

    @abstractmethod
    async def is_valid(self, login: Login) -> bool:
        """Return whether ``login`` is still valid, with a single check."""


class SupportsEnrolment(ABC):
    """Capability of an authenticator: creates, on first use, the key that is the account."""

    @abstractmethod
    async def create_credentials(self) -> Mapping[str, Secret]:
        """Create new credentials for `Authenticator.log_in`; spends nothing. Core asks the user to keep a copy."""


@frozen(kw_only=True)
class Balance:
    """``available`` can be spent now; ``held`` is locked in deposits, where the provider reports it."""

    available: Money
    at: datetime
    held: Money | None = None


@frozen(kw_only=True)
class MoneyInstructions:
    """How the user tops up or withdraws.

    ``steps`` in words, the page to open, what to encode as a QR code, and advice.
    """

    steps: tuple[ForeignText, ...] = field(converter=to_foreign_texts)
    url: str = field(default=NO_TEXT, converter=ForeignText)
    qr: str = field(default=NO_TEXT, converter=ForeignText)
    advice: ForeignText = field(default=NO_TEXT, converter=ForeignText)


@frozen(kw_only=True)
class TopUpAdvice:
    """``money`` is how much to top up now; ``reason`` explains it in words."""

    money: Money
    reason: ForeignText = field(converter=ForeignText)


@frozen(kw_only=True)
class InvoiceInfo:
    """Whether and how an invoice can be requested.

    ``ready``: one can be requested now. ``spent``: total by the provider's statement; ``minimum_spending``: the
    spending from which invoices are available; ``uninvoiced``: the amount not invoiced yet. ``steps``: how the user
    requests one on the page ``url``.
    """

    ready: bool
    spent: Money
    minimum_spending: Money
    uninvoiced: Money
    steps: tuple[ForeignText, ...] = field(default=(), converter=to_foreign_texts)
    url: str = field(default=NO_TEXT, converter=ForeignText)


class BillingProvider(ABC):
    """An account or a wallet that pays for leases."""

    @abstractmethod
    async def get_balance(self) -> Balance:
        """Return the current balance, with a single query."""

    @abstractmethod
    async def get_rate(self, quote: Currency) -> Rate:
        """Return what one unit of the account's currency is worth in ``quote``, with its date.

        Raises `MoneyError` if no rate is known.
        """

    @abstractmethod
    async def create_top_up(self, money: Money) -> MoneyInstructions:
        """Return how the user tops up by ``money``. Never pays by itself."""

    async def suggest_top_up(self) -> TopUpAdvice | None:
        """Return how much to top up now; None if the balance suffices or this account gives no advice."""
        return None

    @abstractmethod
    async def pay_bill(self, bill: Bill) -> Payment:
        """SPENDS ``bill.amount``. Idempotent on ``bill.key``: a repeated call returns the first payment.

        Where the price floats until the moment of payment, the payment may be less than the bill, but never more. A
        bill of zero returns a payment of zero. Raises `MoneyError` with ``spent`` NO if the balance is too low.

        Raises `SoldOut` if the payment itself was to order the machine and others have it; nothing was ordered, but
        fees may have been spent.
        """

    @abstractmethod
    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        """Return all charges of ``lease`` so far, from the provider's statement, oldest first; empty if there are none.

        A service that charges later than the machine runs, such as once an hour, lists nothing before: that is no
        error. A lease that was never created has no charges. Raises `UnavailableError` or `UnexpectedResponse`, or
        returns `Unknown`, for a list that is not complete.
        """


class MeteredBilling(BillingProvider):
    """Base of an account that the service charges as time passes: it takes no payments, and has no exchange rate.

    ``service`` is its name for people, ``currency`` that of the balance. Subclasses use ``clock``, ``service`` and
    ``currency``, and may keep whatever else they need; `get_balance`, `create_top_up` and `list_charges` are theirs.
    """

    def __init__(self, clock: Clock, service: str, currency: Currency) -> None:
        self.clock, self.service, self.currency = clock, service, currency

    async def get_rate(self, quote: Currency) -> Rate:
        base = self.currency
        if quote.code != base.code:
            raise MoneyError(
                _("{service} has no exchange rate between {base} and {code}").format(
                    service=self.service, base=base.code, code=quote.code
                )
            )
        return Rate(base, quote, Decimal(1), self.clock.now(), "identity")

    def make_top_up(
        self, page: str, account: str, money: Money, advice: str = "", *, steps: Sequence[str] = ()
    ) -> MoneyInstructions:
        """Return how credit is added on ``page``, where ``{account}`` and ``{amount}`` are filled in.

        ``steps``: what the user does there, where more than the usual can be said. Raises `MoneyError` for an amount
        that is not positive.
        """
        if money.amount <= 0:
            raise MoneyError(_("{money} is not a valid top-up amount").format(money=money))
        url = page.replace("{account}", account).replace("{amount}", f"{money.decimal.normalize():f}")
        usual = (
            _("Open the billing page and add {money} of credit.").format(money=money),
            _("The credit is there as soon as the payment is confirmed."),
        )
        return MoneyInstructions(steps=tuple(steps) or usual, url=url, qr=url, advice=advice)

    async def pay_bill(self, bill: Bill) -> Payment:
        if bill.amount.amount:
            raise MoneyError(
                _("{service} takes no direct payments, but the bill is {amount}").format(
                    service=self.service, amount=bill.amount
                ),
                spent=Spent.NO,
            )
        return Payment(key=bill.key, proof="", amount=bill.amount, at=self.clock.now())


class PostpaidBilling(MeteredBilling):
    """Base of an account that is billed afterwards, by a service whose API states neither a balance nor charges.

    The charge of a lease is computed from its price and times, and is an upper limit as long as `Lease.started_at` is
    not after the moment from which the service bills. ``page``: where the user sees and pays what it bills.
    """

    def __init__(self, clock: Clock, service: str, currency: Currency, page: str) -> None:
        super().__init__(clock, service, currency)
        self._page = page

    async def get_balance(self) -> Balance:
        raise MoneyError(
            _("{service} states no balance: it bills afterwards").format(service=self.service),
            hint=_("See what it has billed: {page}").format(page=self._page),
            spent=Spent.NO,
        )

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        step = _("There is nothing to top up: {service} bills afterwards what you have used.")
        return MoneyInstructions(steps=(step.format(service=self.service),), url=self._page)

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        tariff = lease.offer.tariff
        if lease.started_at is None or not isinstance(tariff, Metered):
            return Known(())
        until = lease.ended_at or self.clock.now()
        cost = tariff.price.cost(tariff.round_up(until - lease.started_at))
        note = _("computed from price and time: {service} states no charges").format(service=self.service)
        charge = Charge(
            at=until,
            kind=ChargeKind.USAGE,
            money=cost,
            ref=lease.ref,
            note=note,
            growing=not lease.is_over,
        )
        return Known((charge,) if cost.amount else ())


class SupportsStatement(ABC):
    """Capability: the statement of the whole account, including charges that belong to no lease."""

    @abstractmethod
    async def get_statement(self) -> Known[Charge] | Unknown:
        """Return everything in the provider's statement, oldest first; money that came in is a TOP_UP.

        A charge that `BillingProvider.list_charges` also returns has the same ``ref`` here.
        """


class SupportsInvoices(ABC):
    """Capability: invoices from the provider."""

    @property
    def invoice_fields(self) -> Sequence[tuple[str, str]]:
        """The fields that `request_invoice` needs: name and label of each."""
        return ()

    @abstractmethod
    async def get_invoice_info(self) -> InvoiceInfo:
        """Return whether an invoice can be requested, from the provider's statement, with a single query."""

    @abstractmethod
    async def request_invoice(self, money: Money, answers: Mapping[str, str]) -> str:
        """Request an invoice over ``money`` and return the provider's number for it.

        Raises `MoneyError` if the amount is too large or it is too early.
        """


class SupportsWithdrawal(ABC):
    """Capability: withdraw money."""

    @abstractmethod
    async def withdraw(self, money: Money) -> MoneyInstructions:
        """Return how the user withdraws ``money``; transfers nothing itself."""
