"""What the guard does by itself, as it is recorded with the trip that does it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import field, frozen

from gpurent.terminal_text import NO_TEXT, ForeignText


class ActionKind(Enum):
    """RENEW, SAVE (download results while the job runs), TOP_UP (ask for money), and the reasons to end a lease."""

    RENEW = "renew"
    SAVE = "save"
    TOP_UP = "topup"
    BUDGET = "budget"
    DEADLINE = "deadline"
    IDLE = "idle"
    GRACE = "grace"


@frozen(kw_only=True)
class GuardAction:
    """One action of the guard on the lease of its trip.

    A TOP_UP has no lease, but ``billing``, the wallet's name, and ``account``, whose money it is at the provider (empty
    if that is not known). ``at``: the end of the period that a RENEW extends, in whole seconds; when a SAVE or TOP_UP
    was begun; None for the end of a lease.
    """

    kind: ActionKind
    billing: str = ""
    account: str = field(default=NO_TEXT, converter=ForeignText)
    at: datetime | None = None
