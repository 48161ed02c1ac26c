"""What the user wants, and the plan that comes of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from attrs import frozen

from gpurent.domain.money import Money
from gpurent.domain.offer import Offer, Quote, Requirements
from gpurent.domain.order import Order
from gpurent.domain.terms import Terms


class OnError(Enum):
    """What happens to the machine when a trip fails after it was rented."""

    RELEASE = "release"
    KEEP = "keep"


@frozen(kw_only=True)
class Packages:
    """What the job's Python needs: ``requirements`` and ``conda`` are files below the folder, ``pip`` is a list."""

    requirements: str = ""
    pip: tuple[str, ...] = ()
    conda: str = ""


@frozen(kw_only=True)
class Rules:
    """The trip's own rules for whoever watches it; None: as the settings have it.

    At most one of ``deadline_at`` and ``deadline_in`` (from the lease's start) is set. ``idle_load`` is in percent.
    """

    deadline_at: datetime | None = None
    deadline_in: timedelta | None = None
    idle: timedelta | None = None
    idle_load: int | None = None
    after_job: timedelta | None = None
    timer: timedelta | None = None
    save_before: timedelta | None = None

    def deadline(self, started_at: datetime) -> datetime | None:
        if self.deadline_in is not None:
            return started_at + self.deadline_in
        return self.deadline_at


@frozen(kw_only=True)
class TripSpec:
    """A whole trip as the user asked for it.

    ``command`` is the job's argument vector, empty when only a machine is wanted. ``folder`` is the local folder that
    goes up, or of it only ``inputs``; ``results`` are names below it that come home into ``home`` (default: the same
    folder). ``only_rent``: stop after connecting. ``providers``: the first of them that can serve becomes ``provider``.
    ``packages``, then ``setup`` (shell lines in the job's folder) are run before the job: after the upload, or
    beside it where ``needs`` says which files of the folder they need; those go up first. ``notify`` names the
    events that are told, None for the user's settings. ``lease``: no machine is rented, this one is used.
    ``declared``: the terms of a machine that the user rents by hand. ``doctor``: how strictly the machine is
    examined, empty for the settings' policy. ``pull_every``: results come home so often while the job runs, so that
    an end of the money loses at most that much.
    """

    wish: Requirements = Requirements()
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
    providers: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    packages: Packages = Packages()
    rules: Rules = Rules()
    notify: tuple[str, ...] | None = None
    doctor: str = ""
    pull_every: timedelta | None = None
    needs: tuple[str, ...] | None = None


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
