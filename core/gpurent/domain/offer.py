"""What a provider offers, orders and payments, and the terms that a user declares for an adopted machine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TypeVar

from attrs import field, frozen

from gpurent.domain.money import CNY, HOUR, Currency, Money, Rate, UnitPrice
from gpurent.domain.volume import Volume
from gpurent.terminal_text import NO_TEXT, ForeignText

T = TypeVar("T")
# Offers are compared for this time, in this currency, if the user names none.
DEFAULT_TERM, DEFAULT_CODE = HOUR, CNY.code


@frozen(kw_only=True)
class Hardware:
    """The hardware of a machine. ``gpu`` is the model ("2080Ti"; empty for none); sizes in GiB, 0 if not reported."""

    gpu: str = field(default=NO_TEXT, converter=ForeignText)
    gpus: int = 0
    gpu_memory: int = 0
    cpus: int = 0
    memory: int = 0
    disk: int = 0

    @property
    def title(self) -> str:
        """The GPUs in short: ``RTX 4090``, ``2 x 2080Ti``, ``CPU``."""
        return f"{self.gpus} x {self.gpu}" if self.gpus > 1 else self.gpu or "CPU"


@frozen(kw_only=True)
class Metered:
    """Paid from a balance as time passes, for each ``tick`` begun; the machine ends when the balance is used up."""

    price: UnitPrice
    billing_increment: timedelta = timedelta(minutes=1)

    def round_up(self, span: timedelta) -> timedelta:
        """Return the time that is billed for ``span``: each increment that was begun; nothing for a negative span."""
        return -(-max(timedelta(), span) // self.billing_increment) * self.billing_increment


@frozen(kw_only=True)
class Prepaid:
    """Paid in advance for a term of at least ``minimum``; unused time is refunded when ``refundable``.

    ``fee`` is what each new order costs on top, whatever its term; it is never refunded.
    """

    price: UnitPrice
    minimum: timedelta = timedelta(hours=1)
    maximum: timedelta | None = None
    refundable: bool = True
    fee: Money | None = None


@frozen(kw_only=True)
class Deposit:
    """Money that is held, not spent, until ``returned_on`` (a description in words)."""

    money: Money
    returned_on: ForeignText = field(converter=ForeignText)


@frozen(kw_only=True)
class DiskPrice:
    """``free`` GiB are included with each GPU; each further GiB costs ``price`` while the machine is rented.

    ``is_per_gpu`` false: with each machine. ``maximum``: the largest disk that is sold, None if that is not known.
    """

    free: int
    price: UnitPrice
    is_per_gpu: bool = True
    maximum: int | None = None


@frozen(kw_only=True)
class TrafficPrice:
    """What each GB (10**9 bytes) costs that is uploaded to a machine, and that is downloaded from it."""

    upload: Decimal
    download: Decimal
    currency: Currency

    @property
    def highest(self) -> Decimal:
        return max(self.upload, self.download)

    def __str__(self) -> str:
        shown = [f"{value.normalize():f}" for value in dict.fromkeys((self.upload, self.download))]
        return f"{'/'.join(shown)} {self.currency.code}/GB"


Tariff = Metered | Prepaid


@frozen(kw_only=True)
class Offer:
    """A machine that can be rented. ``key`` is the provider's own name for it.

    ``tariff.price`` may be in another currency than the one that is paid (e.g. USD prices paid in a token). ``deposit``
    is set where use is free while a deposit is held. ``available`` false: someone else is renting it. ``disk`` None: no
    extra disk is sold, or its price is not known. ``stopped_price`` is what the machine costs while stopped, 0 for
    nothing; None: the price of a running one. ``provider_data`` holds the plugin's own data as text.

    ``spot``: whoever pays more may interrupt it. What the provider does not state is empty or None, and matches no
    wish for it: ``location`` (of several words, the last may be a country's code: ``Sweden, SE``), ``reliability`` in
    percent, ``cuda`` (the newest CUDA version that its driver supports) and ``traffic``. ``host``: the provider's name
    of the computer, of which several machines may be offered under different keys. ``volume_place``: the machine can
    mount the volumes of this place (`Volume.place`).
    """

    key: str = field(converter=ForeignText)
    provider: str
    hardware: Hardware
    tariff: Tariff
    deposit: Deposit | None = None
    disk: DiskPrice | None = None
    stopped_price: UnitPrice | None = None
    available: bool = True
    location: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    score: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    reliability: Decimal | None = None
    cuda: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    host: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    volume_place: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    traffic: TrafficPrice | None = None
    spot: bool = False
    note: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    provider_data: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Requirements:
    """The machine that the user wants; empty fields do not matter. ``machine``: only this one, by its `Offer.key`.

    ``gpu_memory``, ``memory`` (both in GiB) and ``cpus`` are minimums, compared with what the provider states; so are
    ``min_reliability`` (in percent) and ``cuda`` (a version). ``regions``: one of these places, each a part of
    `Offer.location`. ``max_price`` is for the whole machine, its disk included, in any currency;
    ``max_traffic_price``: neither direction costs more. ``disk`` is the size in GiB, the free part included.
    ``image`` is the provider's own name of a system image. ``spot``: only machines that others may interrupt, for the
    price ``bid``, or the lowest that the provider takes. ``volume``: only machines that can mount the user's volume of
    this name. ``mounted`` is that volume; core sets it.
    """

    gpu: str = ""
    gpus: int = 1
    machine: str = ""
    cpu_only: bool = False
    include_taken: bool = False
    gpu_memory: int = 0
    memory: int = 0
    cpus: int = 0
    disk: int = 0
    image: str = ""
    regions: tuple[str, ...] = ()
    min_reliability: Decimal | None = None
    cuda: str = ""
    max_price: UnitPrice | None = None
    max_traffic_price: TrafficPrice | None = None
    spot: bool = False
    bid: UnitPrice | None = None
    volume: str = ""
    mounted: Volume | None = None


@frozen(kw_only=True)
class Quote:
    """The expected total, as a range when the exchange rate floats; the deposit is held on top, not spent."""

    low: Money
    high: Money
    deposit: Money | None = None
    rate: Rate | None = None


class OrderKind(Enum):
    """NEW: a new machine. SWITCH: replace a staging machine by the wanted one. RENEW: more time for a lease."""

    NEW = "new"
    SWITCH = "switch"
    RENEW = "renew"


@frozen(kw_only=True)
class Order:
    """An order. ``key`` is made by core and journaled before any call. ``term`` None: metered, until released.

    ``onto`` is the provider's reference of the lease that a SWITCH or RENEW applies to. ``password_ref`` names the
    vault entry with the machine's first password. Core writes it before `LeaseProvider.reserve_lease` where the user
    chooses the password; the plugin writes it when the provider sends one. ``public_key`` is the line of an
    authorized_keys file that the machine has to accept; core sets it before `LeaseProvider.reserve_lease` where
    machines are reached by keys alone (`LeaseEntry.key_only`). ``restarts`` is the id of our lease whose machine this
    order starts again; core sets it. ``volume`` is mounted by the machine (`SupportsVolumes`).
    """

    key: str
    kind: OrderKind
    offer: Offer
    term: timedelta | None = None
    onto: str = field(default=NO_TEXT, converter=ForeignText)
    gpus: int = 1
    disk: int = 0
    password_ref: str = ""
    image: str = ""
    public_key: str = ""
    restarts: str = ""
    volume: Volume | None = None


class PaymentPurpose(Enum):
    """What a payment is for; a DEPOSIT is held, everything else is spent."""

    RENT = "rent"
    DEPOSIT = "deposit"
    RENEWAL = "renewal"
    FEE = "fee"


@frozen(kw_only=True)
class Bill:
    """The provider asks for ``amount``, payable to ``payee`` until ``due``.

    ``key`` identifies the payment permanently: each key is paid once. An amount of zero means that nothing is due now.
    ``memo`` is how the provider recognizes the payment, where the amount alone is not enough. A payee that the account
    has never paid is asked about, except where ``payee_per_order``: the provider gives each order its own address.
    ``amount_is_unique``: the provider asks for this amount once and knows the payment by it, so that any transfer of it
    to ``payee`` is the payment, such as one that a lost journal had made.
    """

    key: str = field(converter=ForeignText)
    payee: str = field(converter=ForeignText)
    amount: Money
    purpose: PaymentPurpose = PaymentPurpose.RENT
    memo: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    due: datetime | None = None
    payee_per_order: bool = False
    amount_is_unique: bool = False


@frozen(kw_only=True)
class Payment:
    """A payment. ``proof`` is what the provider accepts as evidence, a transaction hash; empty if nothing was due."""

    key: str = field(converter=ForeignText)
    proof: str = field(converter=ForeignText)
    amount: Money
    at: datetime
    fee: Money | None = field(default=None)


@frozen(kw_only=True)
class DeclaredTerms:
    """Terms declared by the user, not by the provider: the tariff, the ``balance`` at the time ``at``, and the end.

    ``balance`` belongs to this machine alone: two machines on one account are declared with a share each.
    """

    tariff: Metered
    at: datetime
    balance: Money | None = None
    until: datetime | None = None

    @property
    def price(self) -> UnitPrice:
        return self.tariff.price

    def cost(self, span: timedelta) -> Money:
        """Return the cost of using the machine for ``span``: by ticks begun, rounded up once."""
        return self.price.cost(self.tariff.round_up(span))

    def end_time(self, started_at: datetime) -> datetime | None:
        """Return when the machine ends: at the declared end or when the balance is used up; None if neither is set."""
        found = [self.until] if self.until is not None else []
        many_hours = timedelta(hours=1000)
        price = self.price.cost(many_hours).amount
        if self.balance is not None and price > 0:
            found.append(started_at + many_hours * max(0, self.balance.amount) / price)
        return min(found, default=None)
