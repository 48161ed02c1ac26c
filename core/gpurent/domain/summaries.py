"""Short forms of stored records, for reports over thousands of trips."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from gpurent.domain.money import Money, Rate
from gpurent.domain.receipt import ChargeKind
from gpurent.terminal_text import ForeignText


@frozen
class LeasePeriod:
    """When a lease ran. ``is_adopted``: its terms were declared by the user, and the provider does not list it."""

    lease: str
    provider: str
    is_over: bool
    is_adopted: bool
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None


@frozen
class LedgerMovement:
    """One entry of the ledger without its two sides; ``money`` is in the direction of ``kind``."""

    at: datetime
    kind: ChargeKind
    provider: str
    lease: str
    trip: str
    gpu: str = field(converter=ForeignText)
    rate: Rate | None
    money: Money


@frozen
class StepTime:
    """A completed step of a trip; ``at`` is the time that it recorded as its result, if it records one."""

    trip: str
    lease: str
    name: str
    started_at: datetime
    done_at: datetime
    at: datetime | None
