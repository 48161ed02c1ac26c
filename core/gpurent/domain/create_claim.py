"""What is known of a create whose provider takes no key or label of ours: enough to tell its machine by elimination."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from gpurent.terminal_text import to_foreign_texts


@frozen(kw_only=True)
class CreateClaim:
    """``refs_before`` are all machines that the account listed before the order; ``claimed_at``: when (provider time).

    ``is_accepted``: the provider answered this very create, and did not refuse it. ``alone_since``: when core first saw
    one new machine alone that the order may have created; None if the last look did not show that.
    """

    refs_before: tuple[str, ...] = field(default=(), converter=to_foreign_texts)
    claimed_at: datetime
    is_accepted: bool = False
    alone_since: datetime | None = None
