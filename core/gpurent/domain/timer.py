"""The timer inside a machine that shuts it when nobody else does."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen


@frozen(kw_only=True)
class Timer:
    """``until`` is when it shuts the machine, in provider time; None while it is off.

    ``closing``: the last minutes run, and no new job starts.
    """

    until: datetime | None = None
    closing: bool = False

    @property
    def armed(self) -> bool:
        return self.until is not None
