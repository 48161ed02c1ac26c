"""Short forms of stored records, for reports over thousands of trips."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from gpurent.domain.money import Money, Rate
from gpurent.domain.receipt import ChargeKind
from gpurent.terminal_text import ForeignText


@frozen
class LeasePeriod:
    """When a lease ran. ``is_adopted``: its terms were declared by the user, and the provider does not list it.

    ``books_closed_at``: as in `Lease`.
    """

    lease: str
    provider: str
    is_over: bool
    is_adopted: bool
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    books_closed_at: datetime | None

    @property
    def are_books_closed(self) -> bool:
        """Whether they were closed after the lease's last end."""
        closed_at = self.books_closed_at
        return (
            self.is_over and closed_at is not None and (self.ended_at is None or closed_at >= self.ended_at)
        )


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
