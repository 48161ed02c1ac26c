"""Who holds a lock."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from gpurent.locale import _
from gpurent.terminal_text import NO_TEXT, ForeignText

# Whoever holds this lock is the guard.
GUARD_LOCK = "guard"


@frozen(kw_only=True)
class LockOwner:
    """The process that holds a lock; ``process`` 0: it is not known which, as it could not be recorded.

    ``command``: what the user typed, without its arguments, which may be secret. ``since``: when the lock was taken
    (provider time).
    """

    process: int = 0
    host: str = field(default=NO_TEXT, converter=ForeignText)
    command: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    since: datetime | None = None

    def describe(self) -> str:
        if not self.process:
            return _("another process")
        return _("{command} (process {process} on {host}, since {since:%Y-%m-%d %H:%M} UTC)").format(
            command=self.command, process=self.process, host=self.host, since=self.since
        )
