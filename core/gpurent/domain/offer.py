"""What a provider offers, what is ordered of it and paid, and the terms that a user declares in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Generic, TypeVar

from attrs import field, frozen

from gpurent.domain.money import Money, Rate, UnitPrice

T = TypeVar("T")


@frozen(kw_only=True)
class Hardware:
    """``gpu`` is the model's name ("2080Ti"; empty for none); sizes in GiB, 0 when the shop does not say."""

    gpu: str = ""
    gpus: int = 0
    gpu_memory: int = 0
    cpus: int = 0
    memory: int = 0
    disk: int = 0


@frozen(kw_only=True)
class Metered:
    """Paid afterwards from a balance, each begun ``tick``; the machine ends when the balance does."""

    price: UnitPrice
    tick: timedelta = timedelta(minutes=1)


@frozen(kw_only=True)
class Prepaid:
    """Paid before, for a term of at least ``minimum``; unused time comes back when ``refundable``.

    ``fee``: what each new order costs on top, whatever its term; never comes back.
    """

    price: UnitPrice
    minimum: timedelta = timedelta(hours=1)
    maximum: timedelta | None = None
    refundable: bool = True
    fee: Money | None = None


@frozen(kw_only=True)
class Deposit:
    """Money that is held, not spent, until ``returned_on`` (in words)."""

    money: Money
    returned_on: str


@frozen(kw_only=True)
class DiskPrice:
    """``free`` GiB come with each GPU; each GiB more costs ``price`` while the machine is rented."""

    free: int
    price: UnitPrice


Tariff = Metered | Prepaid


@frozen(kw_only=True)
class Offer:
    """A machine that can be rented. ``key`` is the shop's own name of it.

    ``tariff.price`` may be in another currency than the one that is paid (USD prices paid in a token).
    ``deposit`` is set where use is free while money lies locked. ``free`` false: someone else has it now.
    ``disk`` None: no disk is sold, or the shop does not say for how much.
    """

    key: str
    provider: str
    hardware: Hardware
    tariff: Tariff
    deposit: Deposit | None = None
    disk: DiskPrice | None = None
    free: bool = True
    place: str = ""
    score: str = ""
    note: str = ""
    shop: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Requirements:
    """What machine the user looks for; empty fields do not matter. ``machine``: just this one, by its `Offer.key`.

    ``gpu_memory``, ``memory`` (GiB) and ``cpus``: at least so much, as the provider states it. ``disk``: GiB to buy
    beyond what is free. ``image``: the provider's own name of a system image.
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


@frozen(kw_only=True)
class Quote:
    """The expected total, an interval when a rate floats; the deposit is locked on top, not spent."""

    low: Money
    high: Money
    deposit: Money | None = None
    rate: Rate | None = None


@frozen
class Known(Generic[T]):
    """A listing that the shop gave in full."""

    items: Sequence[T]


@frozen
class Unknown:
    """No listing could be had; nothing may be concluded from that."""

    reason: str


class OrderKind(Enum):
    """NEW machine; SWITCH a staged machine to the wanted one; EXTEND the time of a lease."""

    NEW = "new"
    SWITCH = "switch"
    EXTEND = "extend"


@frozen(kw_only=True)
class Order:
    """``key`` is made by us and journaled before any call. ``term`` None on a metered shop: until released.

    ``onto`` is the shop's reference of the lease that a SWITCH or EXTEND builds on.
    ``password_ref`` names the vault entry of the machine's first password: put there by core before
    `LeaseProvider.reserve_lease` where the user chooses it, by the plugin when the provider sends one.
    """

    key: str
    kind: OrderKind
    offer: Offer
    term: timedelta | None = None
    onto: str = ""
    gpus: int = 1
    disk: int = 0
    password_ref: str = ""
    image: str = ""


class PaymentPurpose(Enum):
    """What a payment is for; a DEPOSIT is held, everything else is spent."""

    RENT = "rent"
    DEPOSIT = "deposit"
    RENEWAL = "renewal"
    FEE = "fee"


@frozen(kw_only=True)
class Bill:
    """The shop asks for ``amount`` to ``payee`` until ``due``.

    ``key`` identifies the payment for ever: one key is paid once. Amount zero means "nothing now".
    ``memo`` is what the shop recognises the payment by, where the amount alone is not enough.
    """

    key: str
    payee: str
    amount: Money
    purpose: PaymentPurpose = PaymentPurpose.RENT
    memo: str = ""
    due: datetime | None = None


@frozen(kw_only=True)
class Payment:
    """``proof`` is what the shop accepts as evidence, a transaction's hash; empty when nothing was due."""

    key: str
    proof: str
    amount: Money
    at: datetime
    fee: Money | None = field(default=None)


@frozen(kw_only=True)
class DeclaredTerms:
    """Declared, not the shop's: the tariff, what the account held ``at`` the beginning, when the shop ends it.

    ``balance`` is this machine's own: two machines on one account are declared with a share each.
    """

    tariff: Metered
    at: datetime
    balance: Money | None = None
    until: datetime | None = None

    @property
    def price(self) -> UnitPrice:
        return self.tariff.price

    def cost(self, span: timedelta) -> Money:
        """What ``span`` of use costs: begun ticks, rounded up once."""
        tick = self.tariff.tick
        ticks = -(-max(timedelta(), span) // tick)
        return self.price.cost(ticks * tick)

    def end_time(self, started_at: datetime) -> datetime | None:
        """When the machine ends by these terms: the declared end, or the balance used up; None: open."""
        found = [self.until] if self.until is not None else []
        many_hours = timedelta(hours=1000)
        price = self.price.cost(many_hours).amount
        if self.balance is not None and price > 0:
            found.append(started_at + many_hours * max(0, self.balance.amount) / price)
        return min(found, default=None)
