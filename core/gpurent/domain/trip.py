"""What the user wants, in five parts, the plan that comes of it, and what the Store keeps of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from attrs import frozen

from gpurent.domain.money import Money, Rate
from gpurent.domain.offer import DeclaredTerms, Offer, Order, Quote, Requirements


class OnError(Enum):
    """What happens to the machine when a trip fails after it was rented."""

    RELEASE = "release"
    KEEP = "keep"


@frozen(kw_only=True)
class UploadSpec:
    """What is uploaded: the local ``folder``, or of it only ``include``. ``transfer``: the backend, empty for the best.

    ``staged``: upload on a cheaper machine first, where there is one; None: unless only a machine is wanted.
    """

    folder: str = "."
    include: tuple[str, ...] = ()
    transfer: str = ""
    staged: bool | None = None


@frozen(kw_only=True)
class SetupSpec:
    """What makes the machine ready for the job: ``conda``, then ``requirements`` and ``pip``, then shell ``commands``.

    ``requirements`` and ``conda`` are files below the folder. ``needs``: the files that the setup needs, so that it
    runs beside the rest of the upload; None: it waits for all of it.
    """

    requirements: str = ""
    pip: tuple[str, ...] = ()
    conda: str = ""
    commands: tuple[str, ...] = ()
    needs: tuple[str, ...] | None = None

    @property
    def is_needed(self) -> bool:
        return bool(self.requirements or self.pip or self.conda or self.commands)


@frozen(kw_only=True)
class JobSpec:
    """``command``: the job's argument vector, empty when only a machine is wanted. ``name``: the session's, empty for
    the trip's own. ``session``, ``launcher``: the plugins, empty for the best.
    """

    command: tuple[str, ...] = ()
    name: str = ""
    session: str = ""
    launcher: str = ""
    setup: SetupSpec = SetupSpec()


@frozen(kw_only=True)
class ResultsSpec:
    """``paths`` below the job's folder are downloaded into ``dir`` (empty: the uploaded folder).

    ``every``: also at this interval while the job runs, so that an end of the money loses at most that much.
    """

    paths: tuple[str, ...] = ()
    dir: str = ""
    every: timedelta | None = None


@frozen(kw_only=True)
class TripLimits:
    """What ends the trip or its machine; None: as the settings have it.

    ``term``: for how long to rent. ``budget``: the most that the trip may cost. At most one of ``deadline_at`` and
    ``deadline_in`` (from the lease's start) is set. ``idle_load`` is in percent. ``keep``: the machine stays when the
    job has ended.
    """

    term: timedelta | None = None
    budget: Money | None = None
    deadline_at: datetime | None = None
    deadline_in: timedelta | None = None
    idle: timedelta | None = None
    idle_load: int | None = None
    after_job: timedelta | None = None
    timer: timedelta | None = None
    save_before: timedelta | None = None
    keep: bool = False
    on_error: OnError = OnError.RELEASE

    def deadline_for(self, started_at: datetime) -> datetime | None:
        if self.deadline_in is not None:
            return started_at + self.deadline_in
        return self.deadline_at


@frozen(kw_only=True)
class TripSpec:
    """A whole trip as the user asked for it.

    ``providers``: the first of them that can serve becomes ``provider``. ``lease``: no machine is rented, this one is
    used. ``terms``: the declared terms of a machine that the user rents by hand. ``rent_only``: stop after connecting.
    ``doctor``: how strictly the machine is examined, empty for the settings' policy. ``notify`` names the events that
    are reported, None for the user's settings.
    """

    requirements: Requirements = Requirements()
    upload: UploadSpec = UploadSpec()
    job: JobSpec = JobSpec()
    results: ResultsSpec = ResultsSpec()
    limits: TripLimits = TripLimits()
    provider: str = ""
    providers: tuple[str, ...] = ()
    lease: str = ""
    terms: DeclaredTerms | None = None
    rent_only: bool = False
    doctor: str = ""
    notify: tuple[str, ...] | None = None


@frozen(kw_only=True)
class AgreedPrice:
    """What the user agreed to pay for one order.

    ``ceiling``: the most that one bill of rent may be without asking again, None: whatever it is; ``deposit``
    likewise for deposits, None: none. ``rate`` is the one that was quoted with.
    """

    ceiling: Money | None = None
    deposit: Money | None = None
    rate: Rate | None = None

    @classmethod
    def from_quote(cls, quote: Quote) -> AgreedPrice:
        return cls(ceiling=quote.high, deposit=quote.deposit, rate=quote.rate)


@frozen(kw_only=True)
class Leg:
    """One stay on one kind of machine: files are uploaded to it, or the ``job`` runs on it, or both."""

    order: Order
    upload: bool
    job: bool
    quote: Quote


@frozen(kw_only=True)
class TripPlan:
    """The legs in order and what they may cost in all."""

    offer: Offer
    legs: tuple[Leg, ...]
    quote: Quote


@frozen(kw_only=True)
class TripRecord:
    """``kind`` is run, rent, renew, upgrade, restart, release or guard; ``outcome`` is empty while it is under way."""

    id: str
    kind: str
    spec: TripSpec
    lease: str
    begun_at: datetime
    ended_at: datetime | None
    outcome: str

    @property
    def is_open(self) -> bool:
        return not self.outcome


@frozen(kw_only=True)
class StepRecord:
    """One durable step: ``done_at`` None means that it was begun and nobody knows how it ended."""

    name: str
    begun_at: datetime
    done_at: datetime | None
