"""What a shop offers, at which price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
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
    """What the user looks for; empty fields do not matter. ``key`` picks one machine.

    ``gpu_memory``, ``memory`` (GiB) and ``cpus``: at least so much, by the shop's own word.
    """

    gpu: str = ""
    gpus: int = 1
    key: str = ""
    cpu_only: bool = False
    include_taken: bool = False
    gpu_memory: int = 0
    memory: int = 0
    cpus: int = 0


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
