"""What the user wants, and the plan that comes of it."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from attrs import frozen

from gpurent.model.money import Money
from gpurent.model.offer import Offer, Quote, Wish
from gpurent.model.order import Order
from gpurent.model.terms import Terms


class OnError(Enum):
    """What happens to the machine when a trip fails after it was rented."""

    RELEASE = "release"
    KEEP = "keep"


@frozen(kw_only=True)
class Want:
    """A whole trip as the user asked for it.

    ``command`` is the job's argument vector, empty when only a machine is wanted. ``folder`` is the local folder that
    goes up; ``results`` are names below it that come home into ``home`` (default: the same folder). ``only_rent``: stop
    after connecting. ``lease``: no machine is rented, this one is used. ``declared``: the terms of a machine that the
    user rents by hand.
    """

    wish: Wish = Wish()
    provider: str = ""
    term: timedelta | None = None
    budget: Money | None = None
    command: tuple[str, ...] = ()
    folder: str = "."
    results: tuple[str, ...] = ()
    home: str = ""
    session: str = ""
    transfer: str = ""
    launcher: str = ""
    name: str = ""
    staged: bool | None = None
    disk: int = 0
    image: str = ""
    only_rent: bool = False
    keep: bool = False
    on_error: OnError = OnError.RELEASE
    lease: str = ""
    declared: Terms | None = None


@frozen(kw_only=True)
class Leg:
    """One stay on one kind of machine: ``cargo`` goes up on it, or ``job`` runs on it, or both."""

    order: Order
    cargo: bool
    job: bool
    quote: Quote


@frozen(kw_only=True)
class Plan:
    """The legs in order and what they may cost in all; ``ceiling`` is the most that `fund` lets leave the wallet."""

    offer: Offer
    legs: tuple[Leg, ...]
    quote: Quote
    ceiling: Money | None = None
