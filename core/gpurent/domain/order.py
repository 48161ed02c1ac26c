"""What is ordered, what the shop wants for it, and the proof that it was paid."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from attrs import field, frozen

from gpurent.domain.money import Money
from gpurent.domain.offer import Offer


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
    `LeaseProvider.reserve` where the user chooses it, by the plugin when the provider sends one.
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


class Purpose(Enum):
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
    purpose: Purpose = Purpose.RENT
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
