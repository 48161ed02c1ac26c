"""Orders as the Store records them: one at a time for each lease, known by its key."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import field, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.offer import OrderKind
from gpurent.terminal_text import NO_TEXT, ForeignText


class OrderOutcome(Enum):
    """How an order ended. REFUSED: the provider named a reason, and nothing was created. CANCELLED: by us."""

    COMPLETED = "completed"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@frozen(kw_only=True)
class OrderRecord:
    """An order, recorded before the provider is asked for anything.

    ``claim`` is the key of the offer that no other order may ask for meanwhile; empty where the provider tells orders
    apart itself. ``outcome`` None: the order is unfinished.
    """

    key: str
    lease: str
    trip: str
    provider: str
    kind: OrderKind
    account: str = field(default=NO_TEXT, converter=ForeignText)
    claim: str = field(default=NO_TEXT, converter=ForeignText)
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: OrderOutcome | None = None


def find_outcome(order: OrderRecord, lease: Lease) -> OrderOutcome | None:
    """Return how the order ended if its lease says so: the provider counted it, or the lease is over without it."""
    if order.key in lease.completed_orders:
        return OrderOutcome.COMPLETED
    if lease.is_over and lease.pending is None:
        return OrderOutcome.CANCELLED
    return None
